"""Dynamic programming over levels: the widths of all groups with the least loss for what they save.

Every group has levels, numbers of slots it may keep. A level costs the sum of the lowest scores, so
scores must add up, and saves what the cost polynomial says with all other groups whole. The knapsack over
all groups is solved exactly on savings in whole buckets. Source: Frantar and Alistarh, "SPDY", ICML 2022,
its inner problem (`spdy.py` searches for coefficients). Adapted: savings of neighbours are
not independent here, so the budget is met by bisection over the share and not by the programme alone; and
levels of a larger share never keep more of a group than those of a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.last import Last
from graphprune_passes.allocations.spreading import LEVELS, counts_for

Floats = NDArray[np.float64]

WIDTHS = 32
BUCKETS = 2000


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of one group: slots that go, the loss, and what is saved, all rising from zero."""

    gone: NDArray[np.int64]
    loss: Floats
    saved: Floats


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group when `share` of what can be saved is saved."""
    path = _paths.of(problem)
    gone = path[min(len(path) - 1, int(np.ceil(share * (len(path) - 1) - 1e-9)))]
    sizes = np.array([g.size for g in problem.groups], float)
    return counts_for(problem, gone / sizes)


def _path(problem: AllocationProblem) -> list[NDArray[np.int64]]:
    """Slots that go from each group, for every share."""
    groups = [levels_of(problem, k) for k in range(len(problem.groups))]
    whole = sum(float(g.saved[-1]) for g in groups)
    found = [np.zeros(len(groups), np.int64)]
    chosen = np.zeros(len(groups), np.int64)
    for step in range(1, 2 * LEVELS):
        chosen = solve(groups, whole * step / (2 * LEVELS), chosen)
        found.append(np.array([g.gone[c] for g, c in zip(groups, chosen, strict=True)]))
    found.append(np.array([g.gone[-1] for g in groups]))
    return found


_paths = Last(_path)


def levels_of(problem: AllocationProblem, place: int) -> Levels:
    """The levels of a group."""
    group = problem.groups[place]
    scores = problem.scores[group.atom]
    room = group.size - problem.floors[group.atom]
    step = problem.steps[group.atom]
    chunk = -(-max(1, -(-room // WIDTHS)) // step) * step
    first = group.size % step or chunk  # down to the next stair, and from there by whole stairs
    gone = np.unique(np.concatenate([[0], np.arange(min(first, room), room, chunk), [room]]))
    lowest = np.sort(scores, axis=-1).reshape(-1, group.size).sum(axis=0)
    loss = np.concatenate([[0.0], np.cumsum(np.maximum(lowest, 0))])[gone]
    counts = {g.atom: g.size for g in problem.groups}
    saved = np.array([problem.gain(group.atom, int(k), counts) for k in gone])
    return Levels(gone, loss, np.maximum.accumulate(saved))


def solve(groups: list[Levels], wanted: float, least: NDArray[np.int64]) -> NDArray[np.int64]:
    """The level of every group, at least `least`, that saves what is wanted with the smallest loss.

    Savings are rounded down to buckets, so the answer saves enough.
    """
    bucket = max(wanted, 1e-30) / BUCKETS
    best = np.full(BUCKETS + 1, np.inf)
    best[0] = 0.0
    choices = []
    for levels, low in zip(groups, least, strict=True):
        found = np.full(BUCKETS + 1, np.inf)
        choice = np.full(BUCKETS + 1, int(low))
        came = np.zeros(BUCKETS + 1, np.int64)
        places = np.arange(BUCKETS + 1)
        for level in range(int(low), len(levels.gone)):
            jump = int(levels.saved[level] / bucket + 1e-9)
            to = np.minimum(places + jump, BUCKETS)
            losses = best + levels.loss[level]
            # Several places reach the last bucket: the cheapest of them counts.
            last = int(np.argmin(np.where(to == BUCKETS, losses, np.inf)))
            ahead = places[to < BUCKETS]
            for target, source in ((to[ahead], ahead), (np.array([BUCKETS]), np.array([last]))):
                better = (losses[source] < found[target]) & (to[source] == target)
                found[target[better]] = losses[source[better]]
                choice[target[better]] = level
                came[target[better]] = source[better]
        best = found
        choices.append((choice, came))
    at = BUCKETS
    if not np.isfinite(best[at]):  # rounding left the last bucket out of reach
        return np.array([len(g.gone) - 1 for g in groups])
    chosen = np.zeros(len(groups), np.int64)
    for place in range(len(groups) - 1, -1, -1):
        choice, came = choices[place]
        chosen[place], at = choice[at], int(came[at])
    return chosen
