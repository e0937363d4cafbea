"""Which of several scores to believe: all groups are cut together as each would have it, and outputs decide.

What groups lose one by one need not add up: outputs that saturate hide a loss until several come together,
and a loss measured on few inputs is uncertain. One trial of the whole cut sees both. Source: ours; the check
of a candidate by one forward pass after a cheap correction is EagleEye's (Li et al., ECCV 2020), with least
squares in the place of batch-norm statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphprune.analysis import CostModel
from graphprune.compensate.trial import Trials, one_shot
from graphprune.dims import Slots
from graphprune.passes import AllocationProblem, Scores, ScoringProblem, best_slots
from graphprune.statistics import unit_columns
from graphprune_passes.allocations.knapsack import allocate

REMOVED = 0.3  # of the multiply-adds, at most
_HALFWAY = 0.5  # to the floors, where that is less
_FLOOR = 0.1  # of the slots of a group
_CLEARLY = 0.8  # another than the first must lose less than this share of what that loses


def believed(problem: ScoringProblem, candidates: Sequence[Scores], trials: Trials) -> Scores:
    """The scores by which a cut of all groups loses least; the first unless another is clearly better.

    Args:
        problem: what was scored.
        candidates: scores, the most trusted first.
        trials: runs the network.
    """
    losses = [trials.loss(_cut(problem, scores)) for scores in candidates]
    best = int(np.argmin(losses))
    return candidates[best if losses[best] < _CLEARLY * losses[0] else 0]


def _cut(problem: ScoringProblem, scores: Scores) -> dict[str, np.ndarray]:
    """Weights of the network as these scores would cut it, its readers refitted."""
    counts = _counts(problem, scores)
    cut = [g for g in problem.groups if counts[g.atom] < g.size]
    keeps = {g.atom: Slots(best_slots(scores[g.atom], counts[g.atom]), g.outer) for g in cut}
    readers = [
        i
        for i in problem.statistics.linear
        if any(unit_columns(i, problem.analysis, group) is not None for group in cut)
    ]
    return one_shot(problem.statistics, keeps, readers)


def _counts(problem: ScoringProblem, scores: Scores) -> dict[int, int]:
    """Slots that a knapsack keeps of every group for the trial."""
    costs = CostModel(problem.analysis)
    groups = problem.groups
    floors = {g.atom: max(g.least, int(np.ceil(g.size * _FLOOR))) for g in groups}
    task = AllocationProblem(groups, scores, floors, costs, "macs", {g.atom: 1 for g in groups}, problem)
    whole = costs.cost().macs
    spare = whole - costs.cost(floors).macs
    wanted = whole - min(REMOVED * whole, _HALFWAY * spare)
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if costs.cost(allocate(task, middle)).macs <= wanted else (middle, high)
    return allocate(task, high)
