"""Uniform allocation: every group loses the same share of its slots."""

from __future__ import annotations

from graphprune.passes import AllocationProblem


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group when `share` is removed from each; never below the floor."""
    return {g.atom: max(problem.floors[g.atom], g.size - int(g.size * share + 1e-9)) for g in problem.groups}
