"""Which passes decide: a recipe's, unless the user names others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graphprune.analysis import LAYERS
from graphprune.errors import UsageError
from graphprune.passes import MemberScore, Scores, ScoringProblem, find_pass, find_recipe

if TYPE_CHECKING:
    from graphprune.decide.decision import Options

AUTO, PLAIN = "auto", "plain"
MEASURED, WEIGHED = "output-loss", "weight-norm"  # what scores layers unless somebody says otherwise
_KINDS = ("criterion", "reducer", "normaliser", "allocation", "compensation")


@dataclass(frozen=True, slots=True)
class Parts:
    """One pass for each stage, by name.

    Attributes:
        recipe: the recipe they are from.
        notes: where they differ from it, and why.
        basis: a change of basis that is made first, or "".
        depth: what scores layers; "" if none may go.
    """

    recipe: str
    criterion: str
    reducer: str
    normaliser: str
    allocation: str
    compensation: str
    notes: tuple[str, ...] = ()
    basis: str = ""
    depth: str = ""

    @property
    def noise(self) -> str:
        """What inputs the recipe makes up, see `Recipe.noise`."""
        return find_recipe(self.recipe).noise

    @property
    def needs_inputs(self) -> bool:
        """Whether any of them looks at activations."""
        return bool(self.basis) or any(
            find_pass(kind, name).needs == "inputs" for kind, name in self._named()
        )

    @property
    def scores_by_inputs(self) -> bool:
        """Whether the criterion looks at activations."""
        return find_pass("criterion", self.criterion).needs == "inputs"

    @property
    def scored_by(self) -> list[str]:
        """The kinds of passes that are asked for scores."""
        reduced = find_pass("criterion", self.criterion).reduced
        return ["criterion", "normaliser"] if reduced else ["criterion", "reducer", "normaliser"]

    def weighs_layers(self, widths: bool) -> bool:
        """Whether the allocation weighs layers against widths; else a share of each goes.

        Args:
            widths: there are other groups, whose scores must then count the same thing.
        """
        if not self.depth or not find_pass("allocation", self.allocation).layers:
            return False
        units = [find_pass("normaliser", self.normaliser).unit, find_pass("depth", self.depth).unit]
        return not widths or (units[0] == units[1] and bool(units[0]))

    def layer_scores(self, problem: ScoringProblem) -> Scores:
        """Scores of every layer, by the atom that stands for it."""
        scores: Scores = find_pass("depth", self.depth).run(problem)
        for group in problem.groups:
            if not np.isfinite(scores[group.atom]).all():
                raise UsageError(f'depth "{self.depth}" gave a score of "{group.key}" that is not finite')
        return scores

    def _named(self) -> list[tuple[str, str]]:
        named = [(kind, getattr(self, kind)) for kind in _KINDS]
        return [*named, ("depth", self.depth)] if self.depth else named

    def scores(self, problem: ScoringProblem) -> Scores:
        """Scores of every slot: criterion, reducer, normaliser."""
        found = find_pass("criterion", self.criterion).run(problem)
        reduce = find_pass("reducer", self.reducer).run
        reduced = {g.atom: _reduced(found, g.atom, problem.shape_of(g), reduce) for g in problem.groups}
        scores: Scores = find_pass("normaliser", self.normaliser).run(problem, reduced)
        for group in problem.groups:
            if not np.isfinite(scores[group.atom]).all():
                raise UsageError(
                    f'criterion "{self.criterion}" gave scores of "{group.key}" that are not finite: '
                    "the weights may hold NaN or infinity"
                )
        return scores


def _reduced(found: Mapping[int, Any], atom: int, shape: tuple[int, ...], reduce: Any) -> Any:
    given = found.get(atom)
    if isinstance(given, np.ndarray):
        return given
    members = [m for m in given or () if isinstance(m, MemberScore)]
    return reduce(members) if members else np.ones(shape)


def choose_parts(options: Options, obstacle: str = "") -> Parts:
    """The passes that options ask for.

    Args:
        options: what was asked for.
        obstacle: why activations cannot be had, or "".

    Raises:
        UsageError: an unknown recipe or pass.
    """
    named = {k: getattr(options, k) for k in _KINDS if getattr(options, k)}
    recipe = find_recipe(options.recipe or (PLAIN if named else AUTO))
    notes: tuple[str, ...] = ()
    if recipe.needs == "inputs" and obstacle and not options.recipe:
        recipe = find_recipe(PLAIN)
        notes = (f"slots are scored by their weights and nothing is repaired: {obstacle}",)
    parts: dict[str, str] = {**dict(recipe.parts), **named}
    by_recipe = parts.pop("depth", "")
    parts |= {"basis": options.basis} if options.basis else {}
    if options.ratio is not None and recipe.name in (AUTO, PLAIN) and "allocation" not in named:
        parts["allocation"] = "uniform"  # a ratio says what every group loses
        if "normaliser" not in named:
            parts["normaliser"] = "none"  # nothing is compared between groups
    for kind, name in parts.items():
        find_pass(kind, name)
    made = Parts(recipe.name, **parts, notes=(*notes, *_unasked(parts["criterion"], options.reducer)))
    if LAYERS not in (structures_of(options) or ()):
        return made
    depth = options.depth or by_recipe or (MEASURED if made.needs_inputs else WEIGHED)
    return replace(made, depth=find_pass("depth", depth).name)


def _unasked(criterion: str, reducer: str) -> tuple[str, ...]:
    """A note on a reducer that a user names and nothing asks."""
    if not reducer or not find_pass("criterion", criterion).reduced:
        return ()
    return (
        f'--reducer {reducer} does nothing: criterion "{criterion}" gives one score for each slot by itself',
    )


def structures_of(options: Options) -> tuple[str, ...] | None:
    """The kinds of groups that may be cut: the user's choice, or the recipe's."""
    if options.structures is not None or not options.recipe:
        return options.structures
    return find_recipe(options.recipe).structures
