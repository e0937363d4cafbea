"""Passes: the parts that can be swapped, and recipes that name a whole set of them.

Every distribution offers one table under the entry-point group `graphprune.passes` and one under
`graphprune.recipes`; the shipped ones are registered in the same way as anybody else's. See passes/README.md
for how to write one.

    criterion     problem -> a score for every slot, or for every slot in every member
    reducer       the scores of a slot's members -> one score
    normaliser    scores -> scores that can be compared between groups
    allocation    scores and a share to remove -> how many slots every group keeps
    compensation  kept slots -> new values for the weights that remain
    basis         the model -> other weights for the same function, before anything is scored
    depth         problem -> a score for every layer that may go as a whole
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis, CostModel, Group
from graphprune.analysis.latency import LatencyModel
from graphprune.analysis.weights import real_values
from graphprune.dims import Keeps, Slots
from graphprune.errors import UsageError
from graphprune.statistics import Statistics

ONLY = "only:"  # before a kind of made-up inputs: learn from nothing else
Floats = NDArray[np.float64]
Item = TypeVar("Item")
Kind = Literal["criterion", "reducer", "normaliser", "allocation", "compensation", "basis", "depth"]

Scores = Mapping[int, Floats]
"""For every group (by atom id) a score for each slot, shape `(*outer sizes, size)`; higher is kept."""


@dataclass(frozen=True, slots=True)
class MemberScore:
    """What one weight says of the slots of a group.

    Attributes:
        values: shape of the group's scores.
        role: "producer" makes the slots, "parameter" scales or shifts them, "consumer" reads them.
    """

    values: Floats
    role: Literal["producer", "parameter", "consumer"]


MemberScores = Mapping[int, Sequence[MemberScore]]


@dataclass(frozen=True, slots=True)
class ScoringProblem:
    """What a criterion sees.

    Attributes:
        analysis: the analysed model, weights included (`weight_array`).
        groups: the groups to score.
        seed: of everything random.
        observed: statistics of the activations; None where there are no calibration inputs.
        say: told how much is done, of how much.
    """

    analysis: Analysis
    groups: tuple[Group, ...]
    seed: int
    observed: Statistics | None = None
    say: Callable[[int, int], None] = lambda done, total: None

    def counted(self, items: Sequence[Item]) -> Iterator[Item]:
        """The items one by one; each time it is said how many are done."""
        for number, item in enumerate(items):
            self.say(number, len(items))
            yield item
        self.say(len(items), len(items))

    @property
    def statistics(self) -> Statistics:
        """Statistics of the activations.

        Raises:
            UsageError: there are no calibration inputs.
        """
        if self.observed is None:
            raise UsageError(
                "this pass needs activations, but the model cannot be run: choose one that needs weights "
                "only, for example --recipe depgraph"
            )
        return self.observed

    def weight_array(self, name: str) -> NDArray[np.generic]:
        """The real numbers of a weight, read when asked for."""
        return real_values(self.analysis.weights[name], self.analysis.facts)

    def shape_of(self, group: Group) -> tuple[int, ...]:
        """Shape of the scores of a group."""
        return (*(self.analysis.atom_sizes[o] for o in group.outer), group.size)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class AllocationProblem:
    """What an allocation sees.

    Attributes:
        groups: the groups to cut.
        scores: of every slot, comparable between groups.
        floors: smallest number of slots each group keeps, by atom id.
        costs: the cost polynomial of the model.
        measure: what is to be saved: "macs", "params", "size", "latency", or "both" (the first two alike).
        steps: by atom id, kept slots will be rounded up to a multiple of this.
        scoring: what the criterion saw.
        latency: of the model, where that was measured.
    """

    groups: tuple[Group, ...]
    scores: Scores
    floors: Mapping[int, int]
    costs: CostModel
    measure: str
    steps: Mapping[int, int]
    scoring: ScoringProblem
    latency: LatencyModel | None = None

    def gain(self, atom: int, less: int, counts: Mapping[int, int]) -> float:
        """The share of `measure` that is saved when one group keeps `less` slots fewer than in `counts`."""
        if self.measure == "latency" and self.latency is not None:
            return self.latency.saving(atom, less, counts) / self.latency.whole
        whole, saved = self.costs.whole, self.costs.saving(atom, less, counts)
        shares = {
            "macs": saved.macs / max(1, whole.macs),
            "params": saved.params / max(1, whole.params),
            "size": saved.weight_bytes / max(1, whole.weight_bytes),
        }
        return shares.get(self.measure, (shares["macs"] + shares["params"]) / 2)


@dataclass(frozen=True, slots=True)
class Settling:
    """What an allocation sees once the budget is met.

    Attributes:
        problem: what it saw before.
        counts: the number of slots each group keeps, rounded and within the budget.
        allowed: whether other counts are within the budget too.
        fixed: atoms whose counts the user has said.
    """

    problem: AllocationProblem
    counts: Mapping[int, int]
    allowed: Callable[[Mapping[int, int]], bool]
    fixed: frozenset[int] = frozenset()

    def best(self, counts: Mapping[int, int]) -> dict[int, Slots]:
        """The slots of highest score, for the groups that lose any."""
        return {
            g.atom: Slots(best_slots(self.problem.scores[g.atom], counts[g.atom]), g.outer)
            for g in self.problem.groups
            if counts[g.atom] < g.size
        }


def best_slots(scores: Floats, count: int) -> NDArray[np.int64]:
    """Indices of the `count` best slots along the last axis, ascending; ties go to the lower index."""
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
    return np.sort(order, axis=-1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class CompensationProblem:
    """What a compensation sees.

    Attributes:
        model: the normalised model, every linear operator with a bias, dense weights.
        analysis: of that model.
        keeps: kept slots by atom id.
        batches: calibration inputs.
        budget: bytes of activations to hold in memory.
        seed: of everything random.
        say: told how much is done, of how much.
        lifelike: the inputs are real ones, or drawn by the model itself.
        chosen: kinds of cut groups that data choose from, such as experts, or "". Where there are any, other
            rows reach an operator than in the original, so only what comes out at the end can be compared.
    """

    model: ir.Model
    analysis: Analysis
    keeps: Keeps
    batches: Sequence[Mapping[str, NDArray[Any]]]
    budget: int
    seed: int
    say: Callable[[int, int], None] = lambda done, total: None
    lifelike: bool = True
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of one linear operator.

    Attributes:
        node: its name.
        columns, kept: input columns before and after, of one group of a convolution that has several: the
            one that keeps most.
        rows: rows it was fitted on.
        before, after: share of the variance of its output that is lost, without and with the repair.
        damping: that was chosen; infinity if its weight was left alone.
        note: why nothing was done, or "".
        left_out: rows that were not used, because they or what they should give are not finite.
    """

    node: str
    columns: int
    kept: int
    rows: int
    before: float
    after: float
    damping: float
    note: str = ""
    left_out: int = 0


@dataclass(slots=True)
class Repair:
    """New values of weights, at their original shapes, and a line on each operator."""

    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    operators: list[Repaired] = field(default_factory=list)


Criterion = Callable[[ScoringProblem], Scores | MemberScores]
Reducer = Callable[[Sequence[MemberScore]], Floats]
Normaliser = Callable[[ScoringProblem, Scores], Scores]
Allocation = Callable[[AllocationProblem, float], dict[int, int]]
"""From a share of slots to remove, in [0, 1], to the number of slots each group keeps."""
Settle = Callable[[Settling], Keeps]
"""The slots that stay, of the groups that lose any; counts may change within the budget."""
Compensation = Callable[[CompensationProblem], Repair]
Basis = Callable[[ScoringProblem], Mapping[str, NDArray[Any]]]
"""New values of initializers, at their shapes, with which the model computes what it did."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One swappable part: its kind, the name users call it by, and what it does.

    Attributes:
        kind: what it is swapped for.
        name: what users call it.
        run: see the types above.
        summary: one line for lists.
        needs: "inputs" if it looks at activations.
        settle: of an allocation that searches on when the budget is met; by default the slots of highest
            score stay.
        unit: what its scores count, where sums of them mean something; scores of one unit can be compared.
        layers: of an allocation, whether it weighs layers (groups of one slot and no floor) against widths.
        choices: of a compensation, whether it knows what to do with `CompensationProblem.chosen`; others are
            not run where there is any.
        reduced: of a criterion, whether it gives one score for each slot, so that no reducer is asked.
    """

    kind: Kind
    name: str
    run: Callable[..., Any]
    summary: str
    needs: Literal["weights", "inputs"] = "weights"
    settle: Settle | None = None
    unit: str = ""
    layers: bool = False
    choices: bool = False
    reduced: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named choice of one part for each stage.

    Attributes:
        name: what users call it.
        criterion, reducer, normaliser, allocation, compensation: names of passes.
        paper: where the method is from.
        follows: True if it follows the paper, False if it is adapted.
        summary: one line for lists.
        structures: kinds of groups it cuts; None for all exact ones.
        noise: kind of inputs to make up where none are given: "auto", "normal", "uniform", "images" or
            "first-norm"; with "only:" before it, made-up inputs are used even where others are given, which
            then only judge.
        basis: name of a change of basis that is made first, or "".
        depth: what scores layers where they may go; "" for what goes with the other parts.
    """

    name: str
    criterion: str
    reducer: str
    normaliser: str
    allocation: str
    compensation: str
    paper: str
    follows: bool
    summary: str
    structures: tuple[str, ...] | None = None
    noise: str = "auto"
    basis: str = ""
    depth: str = ""

    @property
    def parts(self) -> tuple[tuple[Kind, str], ...]:
        """Its passes by kind; what changes the basis and what scores layers only if it says so."""
        first: tuple[tuple[Kind, str], ...] = (("basis", self.basis),) if self.basis else ()
        depth: tuple[tuple[Kind, str], ...] = (("depth", self.depth),) if self.depth else ()
        return (
            *first,
            ("criterion", self.criterion),
            ("reducer", self.reducer),
            ("normaliser", self.normaliser),
            ("allocation", self.allocation),
            ("compensation", self.compensation),
            *depth,
        )

    @property
    def asked(self) -> tuple[tuple[Kind, str], ...]:
        """Its passes that are asked: no reducer where the criterion gives one score for each slot."""
        reduced = find_pass("criterion", self.criterion).reduced
        return tuple(p for p in self.parts if not (reduced and p[0] == "reducer"))

    @property
    def needs(self) -> str:
        """What it must have: "inputs" if any of its passes looks at activations, else "weights"."""
        return "inputs" if any(find_pass(k, n).needs == "inputs" for k, n in self.parts) else "weights"

    @property
    def looks_at(self) -> str:
        """As `needs`, but "made-up inputs" where it learns from nothing else, whatever inputs are given."""
        return "made-up inputs" if self.needs == "inputs" and self.noise.startswith(ONLY) else self.needs


@functools.cache
def all_passes() -> Mapping[tuple[str, str], Pass]:
    """Every installed pass by kind and name.

    Raises:
        UsageError: two distributions offer the same name.
    """
    return _offered("graphprune.passes", lambda p: (p.kind, p.name))


@functools.cache
def all_recipes() -> Mapping[tuple[str, str], Recipe]:
    """Every installed recipe, by ("recipe", name).

    Raises:
        UsageError: two distributions offer the same name.
    """
    return _offered("graphprune.recipes", lambda r: ("recipe", r.name))


def _offered(group: str, key_of: Callable[[Any], tuple[str, str]]) -> Mapping[tuple[str, str], Any]:
    found: dict[tuple[str, str], tuple[Any, str]] = {}
    for entry in entry_points(group=group):
        for offered in entry.load():
            key = key_of(offered)
            if key in found:
                raise UsageError(
                    f"{key[0]} {key[1]!r} is offered by both {found[key][1]} and {entry.value}: uninstall one"
                )
            found[key] = (offered, entry.value)
    return {key: offered for key, (offered, _) in found.items()}


def find_pass(kind: str, name: str) -> Pass:
    """The pass of that kind and name.

    Raises:
        UsageError: there is none; names those there are.
    """
    found: Pass = _find(all_passes(), kind, name)
    return found


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; names those there are.
    """
    found: Recipe = _find(all_recipes(), "recipe", name)
    return found


def _find(offered: Mapping[tuple[str, str], Any], kind: str, name: str) -> Any:
    if (kind, name) not in offered:
        known = ", ".join(sorted(n for k, n in offered if k == kind)) or "none is installed"
        raise UsageError(f"unknown {kind} {name!r}: choose from {known}")
    return offered[kind, name]
