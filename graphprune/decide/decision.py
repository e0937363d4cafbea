"""The decision: scores, allocation, rounding and budget give the slots that every group keeps."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from graphprune.analysis import Analysis, Cost, CostModel, Group
from graphprune.analysis.latency import LatencyModel
from graphprune.decide.budget import Target, meets, solve
from graphprune.decide.candidates import Candidates, choose_candidates
from graphprune.decide.collapse import collapses
from graphprune.decide.giveback import given_back
from graphprune.decide.layers import is_layer, with_layers, worst_layers
from graphprune.decide.machine import Machine
from graphprune.decide.parts import Parts, choose_parts, structures_of
from graphprune.decide.rounding import AUTO, parse_rounding, rounded, steps_of
from graphprune.dims import Slots
from graphprune.errors import UsageError
from graphprune.passes import AllocationProblem, Scores, ScoringProblem, Settling, find_pass
from graphprune.runtime.progress import Progress
from graphprune.runtime.seeds import check_seed
from graphprune.statistics import Statistics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        ratio: share of slots to remove from each group, in [0, 1); None if targets decide.
        targets: budgets to meet.
        recipe: name of a set of parts; "" for "auto", or for "plain" where a part is named.
        criterion, reducer, normaliser, allocation, compensation, depth, basis: names of passes instead of the
            recipe's; "".
        round_to: kept channels and neurons are rounded up to a multiple of this; "auto" for the multiples
            that this machine's kernels compute at a time.
        min_keep: smallest share of slots a group keeps when targets or a global ranking decide.
        structures: kinds of groups that may be cut; None for all exact ones.
        only, exclude: name patterns.
        ratios: own ratios of groups, by name pattern.
        seed: of everything random.
    """

    ratio: float | None = 0.5
    targets: tuple[Target, ...] = ()
    recipe: str = ""
    criterion: str = ""
    reducer: str = ""
    normaliser: str = ""
    allocation: str = ""
    compensation: str = ""
    round_to: int | str = 1
    min_keep: float = 0.1
    structures: tuple[str, ...] | None = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    ratios: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    depth: str = ""
    basis: str = ""

    def __post_init__(self) -> None:
        if (self.ratio is None) == (not self.targets):
            raise UsageError("give either a ratio or a target, for example --ratio 0.5 or --target macs=0.5")
        for what, value in (("ratio", self.ratio), *((f"ratio of {k!r}", v) for k, v in self.ratios.items())):
            if value is not None and not 0 <= value < 1:
                raise UsageError(
                    f"the {what} must be at least 0 and below 1, got {value:g}: 0.5 removes half of the slots"
                )
        check_seed(self.seed)
        parse_rounding(self.round_to)
        if not 0 <= self.min_keep < 1:
            raise UsageError(f"--min-keep must lie in [0, 1), got {self.min_keep:g}")


@dataclass(frozen=True, slots=True)
class Decision:
    """Kept slots of every group that is cut, and the reasons for the others.

    Attributes:
        keeps: kept slots by atom id.
        candidates: the groups that could be cut and why others cannot.
        scores: of every slot, by atom id.
        parts: the passes that decided.
        share: the share of slots the allocation was asked to remove.
        before, after: cost of the model.
        notes: what the user should know about the decision.
        rounding: by kind of group, the multiple that was kept to, where it is more than one.
    """

    keeps: Mapping[int, Slots]
    candidates: Candidates
    scores: Scores
    share: float
    before: Cost
    after: Cost
    notes: tuple[str, ...] = ()
    parts: Parts | None = None
    rounding: Mapping[str, int] = field(default_factory=dict)


def _measure(options: Options, latency: LatencyModel | None) -> str:
    """What is to be saved: what the first target speaks of; time for multiply-adds, where that is known."""
    measure = options.targets[0].measure if options.targets else "both"
    return "latency" if latency is not None and measure == "macs" else measure


def candidates_for(analysis: Analysis, options: Options) -> Candidates:
    """The groups that options allow to be cut.

    Raises:
        UsageError: an unknown structure, or a pattern that matches nothing.
    """
    structures = structures_of(options)
    by_recipe = structures is not None and options.structures is None
    return choose_candidates(
        analysis,
        structures=structures,
        only=options.only,
        exclude=options.exclude,
        said_by=f"by recipe {options.recipe}; --structures overrides it" if by_recipe else "--structures",
    )


def decide(
    analysis: Analysis,
    options: Options,
    overhead_bytes: int = 0,
    say: Callable[[str], None] = lambda _: None,
    observed: Statistics | None = None,
    parts: Parts | None = None,
    scored: Scores | None = None,
    machine: Machine | None = None,
    detail: Callable[[str], None] = lambda _: None,
) -> Decision:
    """Decide which slots to keep.

    Args:
        analysis: the analysed model.
        options: what was asked for.
        overhead_bytes: bytes of the file that are not weights, for size targets.
        say: told the name of each stage as it starts.
        observed: statistics of the activations, if there are calibration inputs.
        parts: the passes that decide; by default those that options ask for.
        scored: scores of every slot, where they are known from before.
        machine: what was measured of it, where options need that.
        detail: told how far a stage is where it takes long.

    Raises:
        UsageError: a pattern or a pass that does not exist.
        TargetError: a budget that cannot be met.
    """
    say("score")
    candidates = candidates_for(analysis, options)
    groups = candidates.groups
    layers = tuple(g for g in groups if is_layer(g))
    widths = tuple(g for g in groups if not is_layer(g))
    own = _own_ratios(analysis, widths, options.ratios)
    parts = parts or choose_parts(options, "" if observed else "there are no activations")
    scoring = ScoringProblem(analysis, widths, options.seed, observed, _told(detail, "score", observed))
    scores = scored if scored is not None else parts.scores(scoring) if widths else {}
    if scored is None and layers:
        scores = {**scores, **parts.layer_scores(replace(scoring, groups=layers))}
    say("allocate")
    scoring = replace(scoring, say=_told(detail, "allocate", observed))
    costs = CostModel(analysis)
    before = costs.original()
    if not groups:
        return Decision({}, candidates, {}, 0.0, before, costs.cost(), _unread(analysis), parts=parts)
    steps = steps_of(groups, options.round_to, machine.steps if machine else None)
    floors = {g.atom: max(1, int(np.ceil(g.size * options.min_keep))) for g in groups}
    if parts.allocation == "uniform" and options.ratio is not None:
        floors = {g.atom: 1 for g in groups}
    floors = {g.atom: rounded(g, floors[g.atom], steps[g.atom]) for g in groups}
    floors |= dict.fromkeys((g.atom for g in layers), 0)
    allocation = find_pass("allocation", parts.allocation)
    together = parts.weighs_layers(bool(widths))
    latency = machine.latency if machine else None
    problem = AllocationProblem(
        groups if together else widths,
        scores,
        floors,
        costs,
        _measure(options, latency),
        steps,
        scoring,
        latency,
    )

    def counts_at(share: float) -> dict[int, int]:
        counts = {} if together else worst_layers(layers, scores, share)
        counts |= allocation.run(problem, share) if problem.groups else {}
        counts |= {a: _kept(analysis.by_atom[a].size, r) for a, r in own.items()}
        return {g.atom: rounded(g, max(g.least, counts[g.atom]), steps[g.atom]) for g in groups}

    def cuts(counts: Mapping[int, int]) -> bool:
        return any(count < analysis.by_atom[atom].size for atom, count in counts.items())

    def figures(counts: Mapping[int, int]) -> dict[str, float]:
        """Every measure; where all slots stay no repair adds a bias, and without counts all is as given."""
        cost = costs.cost(counts) if cuts(counts) else costs.whole if counts else before
        time = {} if latency is None else {"latency": latency.ms(counts)}
        return {"macs": cost.macs, "params": cost.params, "size": cost.weight_bytes + overhead_bytes, **time}

    if options.targets:
        share, found = solve(options.targets, figures, counts_at)
        original = figures({})

        def allowed(counts: Mapping[int, int]) -> bool:
            return meets(options.targets, figures(counts), original)

        free = tuple(g for g in groups if g.atom not in own)
        counts = given_back(free, found, steps, scores, allowed)
    else:
        assert options.ratio is not None
        share, counts = options.ratio, counts_at(options.ratio)
        limits = figures(counts)

        def allowed(counts: Mapping[int, int]) -> bool:
            return all(figures(counts)[m] <= limits[m] for m in ("macs", "params"))

    settling = Settling(problem, counts, allowed, frozenset(own))
    settle = allocation.settle if problem.groups and cuts(counts) else None
    keeps = with_layers(analysis, settle(settling) if settle else settling.best(counts), counts)
    counts = {g.atom: keeps[g.atom].count if g.atom in keeps else g.size for g in groups}
    for group in groups:
        _log.debug('"%s" keeps %d of %d %s', group.key, counts[group.atom], group.size, group.kind)
    after = costs.cost({a: s.count for a, s in keeps.items()})
    left = tuple(g for g in groups if g.atom not in own)  # what the user has said is no collapse
    notes = (
        *_unread(analysis),
        *_notes(groups, counts, options),
        *collapses(left, counts, steps, parts, options.min_keep),
    )
    rounding = {g.kind: steps[g.atom] for g in groups if steps[g.atom] > 1}
    return Decision(keeps, candidates, scores, share, before, after, notes, parts, rounding)


def _told(detail: Callable[[str], None], stage: str, observed: Statistics | None) -> Progress:
    """What says how far a stage is, also where it collects statistics."""
    if observed is not None:
        observed.say = Progress(detail, stage, "batches")
    return Progress(detail, stage)


def _own_ratios(
    analysis: Analysis, groups: tuple[Group, ...], ratios: Mapping[str, float]
) -> dict[int, float]:
    found: dict[int, float] = {}
    for pattern, ratio in ratios.items():
        hits = [g for g in groups if g.key == pattern] or [
            g for g in groups if any(fnmatch.fnmatch(m.weight, pattern) for m in g.members)
        ]
        if not hits:
            raise UsageError(
                f"no prunable dimension matches {pattern!r} in the ratios: see `graphprune inspect`"
            )
        found |= {g.atom: ratio for g in hits}
    return found


def _kept(size: int, ratio: float) -> int:
    """Slots left when a share is removed: never fewer than asked for, never none."""
    return max(1, size - int(size * ratio + 1e-9))


def _unread(analysis: Analysis) -> tuple[str, ...]:
    if not analysis.spared:
        return ()
    return (f"{analysis.spared:,} multiply-adds went into rows that nobody reads; they are not computed now",)


def _notes(groups: tuple[Group, ...], counts: Mapping[int, int], options: Options) -> tuple[str, ...]:
    if options.round_to in (1, AUTO) or options.ratio == 0:
        return ()
    whole = [g for g in groups if counts[g.atom] == g.size]
    if not whole:
        return ()
    return (f"{len(whole)} of {len(groups)} groups are kept whole because of --round-to {options.round_to}",)
