"""Evolution of widths: slots move from one group to another as long as the outputs lose less for it.

Every group loses the same share to begin with. Then, generation after generation, the best widths so far get
offspring: in one to three swaps a group gives slots away and another of its kind takes as many as the budget
allows. Each is measured (`fitness.py`): a first few inputs choose the survivors, all of them the best, which
replaces its parent only if it loses less. What moves gets smaller from round to round.
Sources: Sieberling et al., "EvoPress", ICML 2025, for the elitist search by swaps; DarwinLM (Tang et al.,
2025), which refits from a database of levels and selects in stages; Tyr-the-Pruner (Li et al., NeurIPS 2025),
from coarse to fine. Adapted: the loss is the squared error of the outputs as a share of their variance in
place of a divergence of logits, dozens of trials in place of thousands, no training of candidates.
"""

from __future__ import annotations

import numpy as np

from graphprune.analysis import Group
from graphprune.dims import Keeps
from graphprune.passes import Settling
from graphprune_passes.allocations.fitness import Fitness

Counts = dict[int, int]

ROUNDS = 4
GENERATIONS = 3  # of a round, at most
OFFSPRING = 8
SURVIVORS = 2
COARSE = 8  # a swap moves this part of a group, and half as much in each round after


def settle(settling: Settling) -> Keeps:
    """The slots that stay with the best widths that were found."""
    fitness = Fitness(settling)
    counts = dict(settling.counts)
    draw = np.random.default_rng(settling.problem.scoring.seed)
    generations = min(max(1, fitness.affordable // (OFFSPRING * ROUNDS)), GENERATIONS)
    scoring = settling.problem.scoring
    for number in range(ROUNDS):
        for generation in range(generations):
            scoring.say(number * generations + generation, ROUNDS * generations)
            children = offspring(settling, counts, COARSE * 2**number, draw)
            children.sort(key=lambda c: fitness.loss(c, few=True))
            best = min(children[:SURVIVORS], key=fitness.loss, default=counts)
            counts = best if fitness.loss(best) < fitness.loss(counts) else counts
    fitness.close()
    for group in settling.problem.groups:
        if group.atom not in settling.fixed:
            counts = _filled(settling, counts, group)  # swaps leave over what is too little for the taker
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
