"""Beta-Rank: the size of a filter times how much it makes of the differences between samples.

`mean |f_k| * mean_positions( std_samples(out_k) / std(in) )`, where in is the patch the filter sees at a
position, over all samples of the first batch. Source: "Beta-Rank: A Robust Convolutional Filter Pruning
Method for Imbalanced Medical Image Analysis" (its code). Adapted: at most 64 positions are looked at, and
every linear operator that makes the units counts; a group that none makes is scored by its squared
weights.
"""

from __future__ import annotations

import numpy as np

from graphprune.analysis import Group
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.statistics import Linear
from graphprune_passes.criteria.maps import each_batch
from graphprune_passes.criteria.units import Floats, Ints, by_weight, count_of, unit_numbers

POSITIONS = 64


def score(problem: ScoringProblem) -> MemberScores:
    """Size of a filter times its amplification of differences, in every operator that makes the slot."""
    makers = {g.atom: _makers(problem, g) for g in problem.groups}
    items = {i.node: i for found in makers.values() for i, _ in found}
    names = [n for i in items.values() for n in (i.input, i.output)]
    first = next(each_batch(problem, names, 1), {}) if names else {}
    ratios = {n: amplification(i, first[i.input], first[i.output]) for n, i in items.items()}
    return {
        g.atom: [
            _member(problem, g, item, units, ratios[item.node])
            for item, units in makers[g.atom]
            if ratios[item.node] is not None
        ]
        or by_weight(problem, g)
        for g in problem.groups
    }


def _makers(problem: ScoringProblem, group: Group) -> list[tuple[Linear, Ints]]:
    """The operators whose outputs are the units, and the unit of each output, `(blocks, outputs)`."""
    found = []
    for item in problem.statistics.linear:
        weight = problem.analysis.weights[item.weight]
        if item.outer or not any(group.atom in d.atoms for d in weight.dims):
            continue
        units = unit_numbers(weight.dims, problem.analysis, group)
        seen = item.layout.matrix(item.view(np.broadcast_to(units, weight.shape)))
        rows = seen[:, :, 0]
        if seen.shape[1] * seen.shape[0] > 1 and (seen == seen[:, :, :1]).all() and (rows >= 0).any():
            found.append((item, rows))
    return found


def amplification(item: Linear, x: np.ndarray, y: np.ndarray) -> Floats | None:
    """Mean ratio of deviations over positions, `(blocks, outputs)`; None where positions differ."""
    samples, rows = x.shape[0], item.layout.count(x, item.shape)
    if rows % samples or samples < 2:
        return None
    positions = rows // samples
    places = np.unique(np.linspace(0, positions - 1, min(positions, POSITIONS)).astype(np.int64))
    chosen = (np.arange(samples)[:, None] * positions + places).reshape(-1)
    seen = item.layout.rows(x, item.shape, chosen)
    made = item.layout.outputs(y, item.shape, chosen)
    if made is None or made.shape[1] != len(chosen):
        return None
    blocks = len(seen)
    seen = seen.reshape(blocks, samples, len(places), -1).astype(np.float64)
    made = made.reshape(blocks, samples, len(places), -1).astype(np.float64)
    spread = seen.std(axis=(1, 3))[:, :, None]
    flat = spread <= 1e-12
    return np.asarray((made.std(axis=1) / np.where(flat, np.inf, spread)).mean(axis=1))


def _member(
    problem: ScoringProblem, group: Group, item: Linear, units: Ints, ratio: Floats | None
) -> MemberScore:
    matrix = item.layout.matrix(item.view(problem.weight_array(item.weight))).astype(np.float64)
    values = np.abs(matrix).mean(axis=2) * ratio
    mine = units >= 0
    total = np.asarray(np.bincount(units[mine], values[mine], count_of(problem, group)), np.float64)
    return MemberScore(total.reshape(problem.shape_of(group)), "producer")
