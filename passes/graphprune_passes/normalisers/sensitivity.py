"""Sensitivity: scores become what the outputs of the whole network lose, measured group by group.

A reader's error tells nothing of what the rest of the network makes of it. So each group is cut by itself to
two widths, its readers are refitted, and the network is run: the scores of the group are stretched so that
they add up to what the outputs lost. Source: the idea of layer-wise sensitivity (Li et al., ICLR 2017) and
the additivity of small losses (LAPTOP-Diff, 2024); with refitted readers it is ours.
"""

from __future__ import annotations

import numpy as np

from graphprune.compensate.trial import distance, one_shot, outputs_of, with_weights
from graphprune.dims import Slots
from graphprune.passes import Scores, ScoringProblem
from graphprune.statistics import unit_columns

LEVELS = (0.25, 0.6)  # shares of a group that are removed for a trial
SAMPLES = 64


def normalise(problem: ScoringProblem, scores: Scores) -> Scores:
    """Scores whose sums are shares of the variance of the outputs."""
    statistics = problem.statistics
    batches, seen = [], 0
    for feeds in statistics.batches:
        batches.append(feeds)
        seen += next(iter(feeds.values())).shape[0] if feeds else 1
        if seen >= SAMPLES:
            break
    before = outputs_of(statistics.model, batches)
    found = {}
    for group in problem.groups:
        mine = scores[group.atom]
        order = np.argsort(mine, axis=-1, kind="stable")
        lowest = np.sort(mine, axis=-1).reshape(-1, group.size).sum(axis=0)
        trace = np.concatenate([[0.0], np.cumsum(lowest)])
        readers = [i for i in statistics.linear if unit_columns(i, problem.analysis, group) is not None]
        points = [(0.0, 0.0)]
        for level in LEVELS:
            gone = min(group.size - 1, max(1, round(group.size * level)))
            kept = Slots(np.sort(order[..., gone:], axis=-1).astype(np.int64), group.outer)
            weights = one_shot(statistics, {group.atom: kept}, readers)
            after = outputs_of(with_weights(statistics.model, weights), batches)
            points.append((float(trace[gone]), max(points[-1][1], distance(before, after))))
        found[group.atom] = _stretched(mine, trace, points)
    return found


def _stretched(mine: np.ndarray, trace: np.ndarray, points: list[tuple[float, float]]) -> np.ndarray:
    """Scores whose sums follow the measured points, at least as steep beyond the last as before it."""
    xs, ys = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    if xs[-1] <= 0:
        return np.asarray(mine * 0 + ys[-1] / max(1, mine.shape[-1]))
    steps = np.diff(ys) / np.maximum(np.diff(xs), 1e-30)
    steepest = float(steps.max())
    cumulated = np.interp(trace, xs, ys) + np.maximum(trace - xs[-1], 0) * steepest
    increments = np.maximum.accumulate(np.maximum(np.diff(cumulated), 1e-15))
    ranks = np.argsort(np.argsort(mine, axis=-1, kind="stable"), axis=-1)
    rows = max(1, mine.size // mine.shape[-1])
    return np.asarray(increments[ranks] / rows)
