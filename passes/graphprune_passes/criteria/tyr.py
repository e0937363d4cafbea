"""Second and first order together: what a reader's error gains when a unit goes after others have gone.

With `L(W) = 1/2 tr(W H W^T) - tr(W G^T)`, G = W0 H, a unit with the columns S scores

    1/2 tr(W_S ([H^-1]_SS)^-1 W_S^T) + tr(W_S G_S^T)

The lowest leave in rounds, W and H^-1 being updated after each. Source: Li et al., "Tyr-the-Pruner",
NeurIPS 2025, its local pruning: 16 rounds (heads: one). Its search over supernets is not here. Adapted:
scores are divided by `tr(W0 H W0^T)` so that readers compare, added up over readers, made to rise from
round to round, and shifted to start at zero.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune_passes.criteria.obs_kin import damped_inverse, removal_costs
from graphprune_passes.criteria.units import Floats, Reader, by_weight, count_of, readers

ROUNDS = {"heads": 1, "kv-groups": 1}
FINE = 16


def score(problem: ScoringProblem) -> MemberScores:
    """Second and first order cost of each slot when it is removed, round by round."""
    found = {}
    for group, operators in readers(problem):
        blocks = [r for blocks in operators for r in blocks]
        if not blocks:
            found[group.atom] = by_weight(problem, group)
            continue
        values = in_rounds(blocks, count_of(problem, group), ROUNDS.get(group.kind, FINE))
        found[group.atom] = [MemberScore(values.reshape(problem.shape_of(group)), "consumer")]
    return found


def in_rounds(blocks: list[Reader], count: int, rounds: int) -> Floats:
    """Scores of all units when they leave in so many rounds."""
    scores, alive = np.zeros(count), np.ones(count, bool)
    states = [(r, damped_inverse(r.moments.second), r.weight @ r.moments.second) for r in blocks]
    scales = [max(float(np.sum(target * r.weight)), 1e-30) for r, _, target in states]
    lowest = -np.inf
    step = -(-count // rounds)
    while alive.any():
        cost = np.zeros(count)
        for (reader, inverse, target), scale in zip(states, scales, strict=True):
            first = reader.total(np.sum(reader.weight * target, axis=0), count)
            cost += (removal_costs(reader, inverse, count) / 2 + first) / scale
        cost[~alive] = np.inf
        number = min(step, int(alive.sum()))
        gone = np.argsort(cost, kind="stable")[:number]
        scores[gone] = np.maximum(cost[gone], lowest)
        lowest = float(scores[gone].max()) + 1e-12  # no ties between rounds
        alive[gone] = False
        if alive.any():
            states = [(*without(r, inverse, gone), target) for r, inverse, target in states]
    return scores - min(0.0, float(scores.min()))


def without(reader: Reader, inverse: Floats, gone: np.ndarray) -> tuple[Reader, Floats]:
    """A reader whose weight makes up for units that have gone, and the inverse for those that stay."""
    columns = np.flatnonzero(np.isin(reader.units, gone))
    if not len(columns):
        return reader, inverse
    right = np.linalg.solve(inverse[np.ix_(columns, columns)], inverse[columns])
    weight = reader.weight - reader.weight[:, columns] @ right
    units = reader.units.copy()
    units[columns] = -1
    return Reader(weight, reader.moments, units), inverse - inverse[:, columns] @ right
