"""Shared by the allocations that give every group a share of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.last import Last

Floats = NDArray[np.float64]

LEVELS = 64


def counts_for(problem: AllocationProblem, removed: Sequence[float] | Floats) -> dict[int, int]:
    """Kept slots when each group loses its share; never below the floor."""
    return {
        g.atom: max(problem.floors[g.atom], g.size - int(g.size * min(1.0, float(r)) + 1e-9))
        for g, r in zip(problem.groups, removed, strict=True)
    }


def fill(problem: AllocationProblem, weights: Floats, share: float) -> Floats:
    """Shares proportional to `weights`, at most 1 each, that remove `share` of all slots.

    What a group that is empty cannot give any more, the others give. Groups of no weight come last.
    """
    sizes = np.array([g.size for g in problem.groups], float)
    weights = np.maximum(np.nan_to_num(weights), 1e-6 * max(1.0, float(np.max(weights, initial=0))))
    wanted = share * sizes.sum()
    low, high = 0.0, 1.0 / float(weights.min())
    for _ in range(100):
        middle = (low + high) / 2
        enough = float((sizes * np.minimum(1, middle * weights)).sum()) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return np.asarray(np.minimum(1, high * weights)) if share > 0 else np.zeros(len(sizes))


class Paths:
    """Kept counts at the levels of a way from everything to the floors, computed once for a problem.

    Some methods solve every level by itself, so that a group may get wider where the budget gets tighter. A
    level never keeps more of a group than the levels before it, so that budgets can be met by bisection.
    """

    def __init__(self, solve: Callable[[AllocationProblem, float], Floats]) -> None:
        self._solve = solve
        self._last = Last(self._path)

    def shares(self, problem: AllocationProblem, share: float) -> Floats:
        """Share that each group loses, between two levels by interpolation."""
        path = self._last.of(problem)
        at = min(max(share, 0.0), 1.0) * LEVELS
        below = min(int(at), LEVELS - 1)
        return np.asarray(path[below] + (path[below + 1] - path[below]) * (at - below))

    def _path(self, problem: AllocationProblem) -> Floats:
        found = [np.zeros(len(problem.groups))]
        for level in range(1, LEVELS):
            solved = np.clip(self._solve(problem, level / LEVELS), 0, 1)
            found.append(np.maximum(found[-1], solved))
        return np.stack([*found, np.ones(len(problem.groups))])
