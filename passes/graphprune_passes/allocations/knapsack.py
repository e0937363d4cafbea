"""Knapsack: slots leave where they cost least for what they save, on the exact cost polynomial.

Scores must add up: the sum of the lowest scores of a group is what removing these slots costs. The next slot
to go is always the one with the least score for each multiply-add (or parameter, byte, or microsecond) that
its removal saves now, when the groups around it have shrunk already; this is the greedy solution of the
knapsack problem, exact but for the last item when scores rise within every group. Source: HALP (Shen et
al., NeurIPS 2022) for pruning as a knapsack; the lazy evaluation is Minoux's (1978), sound because
shrinking neighbours only lowers what is saved.

Layers compete as slots of their own. One that goes takes what its groups have lost already with it, so it
costs only the rest of its loss, and saves what is left of it.
"""

from __future__ import annotations

import heapq

import numpy as np

from graphprune.analysis import LAYERS
from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.last import Last

_STEPS = 64  # a group goes from whole to empty in at most this many steps


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group after `share` of the way from the whole model to all floors."""
    path = _paths.of(problem)
    counts = {g.atom: g.size for g in problem.groups}
    for atom, less in path[: round(len(path) * share)]:
        counts[atom] -= less
    return counts


def _walk(problem: AllocationProblem) -> list[tuple[int, int]]:
    layers = _Layers(problem)
    losses: dict[int, np.ndarray] = {}
    chunks: dict[int, int] = {}
    for group in problem.groups:
        scores = problem.scores[group.atom]
        ordered = np.sort(scores, axis=-1).reshape(-1, group.size).sum(axis=0)
        losses[group.atom] = np.concatenate([[0.0], np.cumsum(ordered)])
        step = problem.steps[group.atom]
        chunks[group.atom] = -(-max(1, -(-group.size // _STEPS)) // step) * step
    counts = {g.atom: g.size for g in problem.groups}
    sizes = dict(counts)

    def price(atom: int) -> tuple[float, int]:
        """Score for each unit of what is saved, and the slots of the step: down to the next stair."""
        stair = counts[atom] % problem.steps[atom] or chunks[atom]
        less = min(counts[atom] - problem.floors[atom], stair)
        if less <= 0:
            return float("inf"), 0
        gone = sizes[atom] - counts[atom]
        loss = losses[atom][gone + less] - losses[atom][gone] - layers.lost(atom)
        gain = problem.gain(atom, less, counts)
        return (max(loss, 0.0) / gain if gain > 0 else float("inf")), less

    places = {g.atom: k for k, g in enumerate(problem.groups)}
    heap = [(price(g.atom)[0], k, g.atom) for k, g in enumerate(problem.groups)]
    heapq.heapify(heap)
    path = []
    while heap:
        _, order, atom = heapq.heappop(heap)
        now, less = price(atom)
        if less <= 0:
            continue
        if heap and now > heap[0][0] and now != float("inf"):
            heapq.heappush(heap, (now, order, atom))
            continue
        path.append((atom, less))
        gone = sizes[atom] - counts[atom]
        counts[atom] -= less
        layers.lose(atom, float(losses[atom][gone + less] - losses[atom][gone]))
        heapq.heappush(heap, (price(atom)[0], order, atom))
        for layer in layers.around(atom):  # it has become cheaper
            heapq.heappush(heap, (price(layer)[0], places[layer], layer))
    return path


class _Layers:
    """Which groups live in which layers, and what was lost there already."""

    def __init__(self, problem: AllocationProblem) -> None:
        analysis = problem.scoring.analysis
        self._inside: dict[int, list[int]] = {}
        self._lost: dict[int, float] = {}
        for layer in (g.atom for g in problem.groups if g.kind == LAYERS):
            self._lost[layer] = 0.0
            for atom in analysis.inner_groups(frozenset({layer})):
                self._inside.setdefault(atom, []).append(layer)

    def around(self, atom: int) -> list[int]:
        """The layers that a group lives in."""
        return self._inside.get(atom, [])

    def lost(self, atom: int) -> float:
        """What the groups of a layer have lost; nothing for other groups."""
        return self._lost.get(atom, 0.0)

    def lose(self, atom: int, loss: float) -> None:
        """Note what a step has cost."""
        for layer in self.around(atom):
            self._lost[layer] += loss


_paths = Last(_walk)
