"""Global allocation: slots of all groups compete in one ranking, and every group has a floor.

Scores must be comparable between groups (the shipped criteria divide by the mean of the group).
Exactly the asked share is removed: ties never remove more.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import AllocationProblem


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group when `share` of all slots is removed, worst first, floors respected."""
    ranks: list[tuple[float, int, int]] = []
    for place, group in enumerate(problem.groups):
        scores = problem.scores[group.atom]
        # A group that keeps other slots for each outer slot loses one for all of them at once.
        ordered = np.sort(scores, axis=-1).reshape(-1, group.size).mean(axis=0)
        removable = group.size - problem.floors[group.atom]
        ranks += [(float(s), place, k) for k, s in enumerate(ordered[:removable])]
    ranks.sort()
    total = sum(g.size for g in problem.groups)
    counts = {g.atom: g.size for g in problem.groups}
    for _, place, _ in ranks[: int(total * share + 1e-9)]:
        counts[problem.groups[place].atom] -= 1
    return counts
