"""Structured pruning dynamic programming with coefficients that are searched for.

The error of a group's readers says little of what the outputs make of it. So every group gets a coefficient
in [0, 1] for its errors; dynamic programming gives the best widths for these, and the network with the
readers refitted says what they are worth. Some coefficients are drawn at random; the best are then changed
in fewer and fewer places, and a change that loses less stays. Source: Frantar and Alistarh, "SPDY", ICML
2022, as ZipLM (Kurtic et al., NeurIPS 2023) uses it. Adapted: dozens of trials in place of thousands; savings
of neighbours depend on each other, so that what is asked of the programme is found by bisection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.dims import Keeps
from graphprune.passes import Settling
from graphprune_passes.allocations.dp_levels import Levels, levels_of, solve
from graphprune_passes.allocations.fitness import Fitness

Floats = NDArray[np.float64]
Counts = dict[int, int]

DRAWN = 16  # coefficients that are drawn at random
TRIES = 6  # changes of so many coefficients at a time, before it is fewer
CHANGED = 0.1  # share of coefficients that are changed at a time, first
BISECTIONS = 8


def settle(settling: Settling) -> Keeps:
    """The slots that stay with the best coefficients that were found."""
    fitness, search = Fitness(settling), Search(settling)
    draw = np.random.default_rng(settling.problem.scoring.seed)
    groups = len(settling.problem.groups)
    best, counts = np.ones(groups), dict(settling.counts)
    left = max(2, fitness.affordable)

    def better(coefficients: Floats) -> bool:
        nonlocal best, counts, left
        left -= 1
        trial = search.widths(coefficients)
        if fitness.loss(trial) >= fitness.loss(counts):
            return False
        best, counts = coefficients, trial
        return True

    for _ in range(min(DRAWN, left // 2)):
        better(draw.random(groups))
    for number in range(-(-groups * int(100 * CHANGED) // 100), 0, -1):
        tries = TRIES
        while tries > 0 and left > 0:
            changed = best.copy()
            changed[draw.choice(groups, number, replace=False)] = draw.random(number)
            tries = TRIES if better(changed) else tries - 1
    fitness.close()
    return settling.best(counts)


class Search:
    """The best widths within the budget for coefficients of one's choice."""

    def __init__(self, settling: Settling) -> None:
        self._settling = settling
        self._levels = [levels_of(settling.problem, k) for k in range(len(settling.problem.groups))]

    def widths(self, coefficients: Floats) -> Counts:
        """Kept slots by group; those of before where no others are within the budget."""
        levels = [
            Levels(g.gone, g.loss * c, g.saved) for g, c in zip(self._levels, coefficients, strict=True)
        ]
        most = sum(float(g.saved[-1]) for g in levels)
        low, high, found = 0.0, 1.0, dict(self._settling.counts)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            counts = self._counts(levels, most * middle)
            if self._settling.allowed(counts):
                high, found = middle, counts
            else:
                low = middle
        return found

    def _counts(self, levels: list[Levels], wanted: float) -> Counts:
        chosen = solve(levels, wanted, np.zeros(len(levels), np.int64))
        counts = {
            g.atom: max(g.least, g.size - int(mine.gone[c]))
            for g, mine, c in zip(self._settling.problem.groups, levels, chosen, strict=True)
        }
        return {**counts, **{a: self._settling.counts[a] for a in self._settling.fixed}}
