"""How often a head speaks loudest: the share of rows in which it adds most to what its reader gives.

`usage_h = share of rows in which ||W_h z_h|| is the largest over the heads`, with z_h what the head gives and
W_h the columns that read it. SHRP ("Specialized Head Routing and Pruning") trains a router that sends
each input to one head and keeps the heads with a share of the traffic; without training the head that
contributes most is the one a router would choose. Adapted. A thousandth of its mean share of the sum of
these norms tells heads apart that are never the largest. A group that no linear operator reads is scored by
its squared weights.
"""

from __future__ import annotations

import itertools

import numpy as np

from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.statistics import Linear
from graphprune_passes.criteria.obs_kin import unit_blocks
from graphprune_passes.criteria.units import Floats, Ints, by_weight, count_of, items_reading

BATCHES = 32
ROWS = 1024  # of each batch
TIE = 1e-3


def score(problem: ScoringProblem) -> MemberScores:
    """Share of rows in which each slot contributes most, at every reader."""
    reading = {
        atom: [(item, units) for item, units in items if not any(use.outer for use in item.uses)]
        for atom, items in items_reading(problem).items()
    }
    counts = {g.atom: count_of(problem, g) for g in problem.groups}
    totals: dict[tuple[int, int], tuple[Floats, int]] = {}
    names = [use.input for items in reading.values() for item, _ in items for use in item.uses]
    for found in itertools.islice(problem.statistics.tensors(list(dict.fromkeys(names))), BATCHES):
        for atom, items in reading.items():
            for place, (item, units) in enumerate(items):
                sizes = np.concatenate(
                    [contributions(problem, item, units, counts[atom], found[u.input], u) for u in item.uses]
                )
                before, rows = totals.get((atom, place), (np.zeros(counts[atom]), 0))
                totals[atom, place] = before + _usage(sizes), rows + len(sizes)
    return {
        g.atom: [
            MemberScore((total / max(1, rows)).reshape(problem.shape_of(g)), "consumer")
            for place in range(len(reading[g.atom]))
            for total, rows in [totals[g.atom, place]]
        ]
        or by_weight(problem, g)
        for g in problem.groups
    }


def contributions(
    problem: ScoringProblem, item: Linear, units: Ints, count: int, x: Floats, use: Linear
) -> Floats:
    """Norm of what each unit adds to the output of an operator, `(rows, units)`."""
    most = use.layout.count(x, use.shape)
    chosen = np.linspace(0, most - 1, min(most, ROWS)).astype(np.int64)
    rows = use.layout.rows(x, use.shape, chosen).astype(np.float64)
    matrix = item.layout.matrix(item.view(problem.weight_array(item.weight))).astype(np.float64)
    squares = np.zeros((len(chosen), count))
    for block, weight, mine in zip(rows, matrix, units, strict=True):
        for numbers, columns in unit_blocks(mine):
            parts = weight[:, columns]  # outputs, units, columns
            gram = np.einsum("ous,out->ust", parts, parts)
            squares[:, numbers] += np.einsum(
                "rus,ust,rut->ru", block[:, columns], gram, block[:, columns], optimize=True
            )
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _usage(sizes: Floats) -> Floats:
    """Rows that each unit wins, and a little of its share of the others."""
    won = np.bincount(sizes.argmax(axis=1), minlength=sizes.shape[1])
    share = sizes / np.maximum(sizes.sum(axis=1, keepdims=True), 1e-30)
    return np.asarray(won + TIE * share.sum(axis=0), np.float64)
