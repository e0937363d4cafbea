"""Greedy removal: the layer whose removal changes the outputs least goes first, then the next, and so on.

The score of a layer is its place in that order, so that any budget takes the first of them.

    finercut  single layers, Jensen-Shannon divergence to the original's outputs; the first 40 % go last
              (Zhang et al., FinerCut, 2024)
    sleb      whole blocks, attention with the perceptron behind it; Kullback-Leibler divergence in place of a
              loss with labels; the first and the last block go last (Song et al., SLEB, ICML 2024)

Outputs with two values or more along their last axis are taken as logits; of others the squared error counts.
Removed layers leave their means behind, as everywhere here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.compensate.trial import Outputs, distance
from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.depth.trials import Removals

Floats = NDArray[np.float64]
PROTECTED = 0.4  # share of the layers, from the front, that FinerCut leaves alone
_ATTENDING = frozenset({"Softmax", "Attention", "MultiHeadAttention", "GroupQueryAttention"})


def finercut(problem: ScoringProblem) -> Scores:
    """The order in which single layers go."""
    units = [(g,) for g in problem.groups]
    return _order(problem, units, units[: int(PROTECTED * len(units))], jensen_shannon)


def sleb(problem: ScoringProblem) -> Scores:
    """The order in which whole blocks go."""
    units = blocks_of(problem.analysis, problem.groups)
    ends = [units[0], units[-1]] if len(units) > 2 else []
    return _order(problem, units, ends, kullback_leibler)


def blocks_of(analysis: Analysis, layers: Sequence[Group]) -> list[tuple[Group, ...]]:
    """Layers from one that attends up to the next; single ones where none attends."""
    ops = {n.name: n.op for n in analysis.facts.nodes}
    attends = [
        any(ops.get(n) in _ATTENDING for n in analysis.dead(frozenset({layer.atom}))) for layer in layers
    ]
    found: list[tuple[Group, ...]] = []
    for layer, starts in zip(layers, attends, strict=True):
        if starts or not any(attends) or not found:
            found.append((layer,))
        else:
            found[-1] = (*found[-1], layer)
    return found


def _order(
    problem: ScoringProblem,
    units: Sequence[tuple[Group, ...]],
    last: Sequence[tuple[Group, ...]],
    measure: Callable[[Outputs, Outputs], float],
) -> Scores:
    removals = Removals(problem, len(units) * (len(units) + 1) // 2)
    left = [u for u in units if u not in last]
    order: list[tuple[Group, ...]] = []
    runs, done = sum(range(2, len(left) + 1)), itertools.count()
    while len(left) > 1:
        gone, losses = [g.atom for unit in order for g in unit], []
        for unit in left:
            problem.say(next(done), runs)
            without = removals.without([*gone, *(g.atom for g in unit)])
            losses.append(measure(removals.whole, without))
        order.append(left.pop(int(np.argmin(losses))))
    removals.close()
    order += [*left, *reversed(last)]
    ranked = [g for unit in order for g in unit]
    return {g.atom: np.array([(place + 1) / len(ranked)]) for place, g in enumerate(ranked)}


def jensen_shannon(before: Outputs, after: Outputs) -> float:
    """Mean divergence of the outputs as distributions from their common mean."""

    def of(p: Floats, q: Floats) -> Floats:
        middle = (p + q) / 2
        return np.asarray((_relative(p, middle) + _relative(q, middle)) / 2)

    return _mean(before, after, of)


def kullback_leibler(before: Outputs, after: Outputs) -> float:
    """Mean divergence of the outputs as distributions from the original's."""
    return _mean(before, after, _relative)


def _relative(p: Floats, q: Floats) -> Floats:
    return np.asarray((p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-30))).sum(axis=-1))


def _mean(before: Outputs, after: Outputs, measure: Callable[[Floats, Floats], Floats]) -> float:
    found = []
    for one, other in zip(before, after, strict=True):
        for name, x in one.items():
            y = other[name]
            if x.dtype.kind == "f" and x.ndim > 1 and x.shape[-1] > 1 and x.shape == y.shape:
                found.append(float(measure(_softmax(x), _softmax(y)).mean()))
    return float(np.mean(found)) if found else distance(before, after)


def _softmax(logits: NDArray[np.generic]) -> Floats:
    x = np.nan_to_num(logits.astype(np.float64), neginf=-1e30)
    shares = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))
