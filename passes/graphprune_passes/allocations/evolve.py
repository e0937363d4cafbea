"""Evolution of widths: slots move from one group to another as long as the outputs lose less for it.

Every group loses the same share to begin with. Then, generation after generation, the best widths so far get
offspring: in one to three swaps a group gives slots away and another of its kind takes as many as the budget
allows. Each is measured: slots of least score go, the readers are refitted on the moments of the original,
and the network runs on inputs that nothing was fitted to. A first few inputs choose the survivors, all of
them the best, which replaces its parent only if it loses less. What moves gets smaller from round to round.
Sources: Sieberling et al., "EvoPress", ICML 2025, for the elitist search by swaps; DarwinLM (Tang et al.,
2025), which refits from a database of levels and selects in stages; Tyr-the-Pruner (Li et al., NeurIPS 2025),
from coarse to fine. Adapted: the loss is the squared error of the outputs as a share of their variance in
place of a divergence of logits, dozens of trials in place of thousands, no training of candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.compensate.trial import Trials, one_shot
from graphprune.dims import Keeps
from graphprune.passes import Settling
from graphprune.rewrite.masking import masked_weights
from graphprune.statistics import Linear, unit_columns

Array = NDArray[Any]
Counts = dict[int, int]

ROUNDS = 4
GENERATIONS = 3  # of a round, at most
OFFSPRING = 8
SURVIVORS = 2
COARSE = 8  # a swap moves this part of a group, and half as much in each round after
WORK = 4e12  # multiply-adds of all trials
STORED = 1 << 30  # bytes of refitted weights


def settle(settling: Settling) -> Keeps:
    """The slots that stay with the best widths that were found."""
    fitness = Fitness(settling)
    counts = dict(settling.counts)
    draw = np.random.default_rng(settling.problem.scoring.seed)
    for number in range(ROUNDS):
        for _ in range(fitness.generations):
            children = offspring(settling, counts, COARSE * 2**number, draw)
            children.sort(key=lambda c: fitness.loss(c, few=True))
            best = min(children[:SURVIVORS], key=fitness.loss, default=counts)
            counts = best if fitness.loss(best) < fitness.loss(counts) else counts
    return settling.best(counts)


def offspring(settling: Settling, parent: Counts, part: int, draw: np.random.Generator) -> list[Counts]:
    """Other widths within the budget, each once."""
    found: dict[tuple[int, ...], Counts] = {}
    for _ in range(OFFSPRING):
        child = dict(parent)
        for _ in range(int(min(draw.integers(1, 4, 2)))):
            child = swapped(settling, child, part, draw)
        if child != parent:
            found.setdefault(tuple(child.values()), child)
    return list(found.values())


def swapped(settling: Settling, counts: Counts, part: int, draw: np.random.Generator) -> Counts:
    """Widths with slots moved from one group to another; the same where that is not possible."""
    problem = settling.problem
    free = [g for g in problem.groups if g.atom not in settling.fixed]
    giving = [g for g in free if counts[g.atom] > _least(settling, g)]
    if not giving:
        return counts
    giver = giving[int(draw.integers(len(giving)))]
    others = [g for g in free if g is not giver and counts[g.atom] < g.size]
    alike = [g for g in others if g.kind == giver.kind] or others
    if not alike:
        return counts
    taker = alike[int(draw.integers(len(alike)))]
    step = problem.steps[giver.atom]
    less = -(-max(1, giver.size // part) // step) * step
    child = {**counts, giver.atom: max(_least(settling, giver), counts[giver.atom] - less)}
    return _filled(settling, child, taker)


def _least(settling: Settling, group: Group) -> int:
    return max(group.least, settling.problem.floors[group.atom])


def _filled(settling: Settling, counts: Counts, taker: Group) -> Counts:
    """Widths with as many more slots of a group as the budget allows."""
    step, now = settling.problem.steps[taker.atom], counts[taker.atom]
    low, high = 0, -(-(taker.size - now) // step)
    while low < high:
        middle = (low + high + 1) // 2
        wider = {**counts, taker.atom: min(taker.size, now + middle * step)}
        low, high = (middle, high) if settling.allowed(wider) else (low, middle - 1)
    return {**counts, taker.atom: min(taker.size, now + low * step)}


class Fitness:
    """What the outputs lose at widths of one's choice."""

    def __init__(self, settling: Settling) -> None:
        problem = settling.problem
        self._settling, self._statistics = settling, problem.scoring.statistics
        self._analysis = problem.scoring.analysis
        self._readers = [
            i
            for i in self._statistics.linear
            if any(unit_columns(i, self._analysis, g) is not None for g in problem.groups)
        ]
        batches = self._statistics.trials
        self._few, self._all = batches[:1], batches[:4]
        samples = sum(len(next(iter(b.values()))) for b in self._all)
        affordable = WORK / max(1, problem.costs.whole.macs * samples * OFFSPRING * ROUNDS)
        self.generations = int(min(max(affordable, 1), GENERATIONS))
        self._trials = {
            few: Trials(self._statistics.model, self._analysis, b)
            for few, b in ((True, self._few), (False, self._all))
        }
        self._losses: dict[tuple[bool, tuple[int, ...]], float] = {}
        self._fits: dict[Any, dict[str, Array]] = {}
        self._stored = 0

    def loss(self, counts: Mapping[int, int], few: bool = False) -> float:
        """Squared error of the outputs, as a share of their variance; on a few inputs or on more."""
        few = few and len(self._few) < len(self._all)
        key = few, tuple(counts.values())
        if key not in self._losses:
            weights = self._refitted(self._settling.best(counts))
            self._losses[key] = self._trials[few].loss(weights)
        return self._losses[key]

    def _refitted(self, keeps: Keeps) -> dict[str, Array]:
        """Weights of the masked network with its readers refitted; fits are remembered by level."""
        found = masked_weights(self._analysis, keeps)
        for item in self._readers:
            found |= self._fit(item, keeps)
        return found

    def _fit(self, item: Linear, keeps: Keeps) -> dict[str, Array]:
        atoms = {a for d in self._analysis.weights[item.weight].dims for a in d.atoms}
        mine = {a: s for a, s in keeps.items() if a in atoms}
        if not mine:
            return {}
        key = item.node, item.weight, *((a, s.index.tobytes()) for a, s in mine.items())
        if key not in self._fits:
            if self._stored > STORED:
                self._fits.clear()
                self._stored = 0
            every = one_shot(self._statistics, mine, [item])
            names = {item.weight, *(u.bias for u in item.uses if u.bias)}
            self._fits[key] = {n: a for n, a in every.items() if n in names}
            self._stored += sum(a.nbytes for a in self._fits[key].values())
        return self._fits[key]
