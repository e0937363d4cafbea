"""Heads against neurons under one budget: every split is tried, the one that keeps most is taken.

Slots that are whole blocks (heads, groups of heads, groups, experts) are ranked by score, all others in a
ranking of their own. For every number of blocks that stay, the rest of the budget is filled with the best of
the others; the split that keeps the largest sum of scores wins. Costs are what a slot saves with everything
else whole. Source: Kwon et al., "A Fast Post-Training Pruning Framework for Transformers", NeurIPS 2022, its
search under a budget of multiply-adds. Adapted: a smaller budget never keeps more of a group. Scores must
compare between groups of a ranking, and add up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.decide.candidates import BLOCKS
from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.spreading import Paths, counts_for

Floats = NDArray[np.float64]


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group for the best split of the budget."""
    return counts_for(problem, _paths.shares(problem, share))


def _solve(problem: AllocationProblem, share: float) -> Floats:
    """Share that each group loses."""
    ranked = [_Ranking.of(problem, blocks) for blocks in (True, False)]
    budget = (1 - share) * sum(float(r.costs[-1]) for r in ranked) + 1e-12
    large, small = ranked
    best, chosen = -np.inf, (0, 0)
    for number in range(int(np.searchsorted(large.costs, budget, "right"))):
        filled = int(np.searchsorted(small.costs, budget - large.costs[number], "right")) - 1
        kept = float(large.values[number] + small.values[filled])
        if kept > best:
            best, chosen = kept, (number, filled)
    counts = np.array([problem.floors[g.atom] for g in problem.groups], float)
    for ranking, number in zip(ranked, chosen, strict=True):
        np.add.at(counts, ranking.places[:number], 1)
    return np.asarray(1 - counts / [g.size for g in problem.groups])


_paths = Paths(_solve)


class _Ranking:
    """Slots above the floors, best first: the group of each, sums of scores and costs of the first few."""

    def __init__(self, places: NDArray[np.int64], values: Floats, costs: Floats) -> None:
        self.places, self.values, self.costs = places, values, costs

    @classmethod
    def of(cls, problem: AllocationProblem, blocks: bool) -> _Ranking:
        """The ranking of blocks, or of all others."""
        counts = {g.atom: g.size for g in problem.groups}
        places, values, costs = [], [], []
        for place, group in enumerate(problem.groups):
            if (group.kind in BLOCKS) != blocks:
                continue
            ordered = np.sort(problem.scores[group.atom], axis=-1).reshape(-1, group.size).sum(axis=0)
            free = group.size - problem.floors[group.atom]
            places += [place] * free
            values += list(ordered[:free])
            costs += [max(problem.gain(group.atom, 1, counts), 1e-12)] * free
        order = np.argsort(-np.array(values), kind="stable").astype(np.int64)
        summed = (np.concatenate([[0.0], np.cumsum(np.array(v)[order])]) for v in (values, costs))
        return cls(np.array(places, np.int64)[order], *summed)
