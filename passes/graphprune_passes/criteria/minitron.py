"""Minitron's aggregated activations: mean over positions, Euclidean norm over samples.

`sqrt(sum_samples (mean_positions |h_j|)^2)` of what readers get, and for units of several columns (heads)
the Euclidean norm over them. Source: Muralidharan et al., "Compact Language Models via Pruning and
Knowledge Distillation", NeurIPS 2024. Its distillation afterwards is not here. A group whose readers'
inputs have no axis of its own is scored by its squared weights.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune_passes.criteria.maps import by_sample, each_batch, tensors_read
from graphprune_passes.criteria.units import by_weight, count_of


def score(problem: ScoringProblem) -> MemberScores:
    """Norm over samples of the mean absolute activation of each slot, at every reader."""
    reads = tensors_read(problem)
    names = [name for places in reads.values() for name, _, _ in places]
    squares: dict[tuple[str, int], np.ndarray] = {}
    for found in each_batch(problem, names, len(problem.statistics.batches)):
        for name, axis in {(n, axis) for places in reads.values() for n, axis, _ in places}:
            means = np.abs(by_sample(found[name], axis)).mean(axis=2)
            squares[name, axis] = squares.get((name, axis), 0) + np.square(means).sum(axis=0)
    scores = {}
    for group in problem.groups:
        members = []
        for name, axis, units in reads[group.atom]:
            mine = units >= 0
            total = np.bincount(units[mine], squares[name, axis][mine], count_of(problem, group))
            members.append(MemberScore(np.sqrt(total).reshape(problem.shape_of(group)), "consumer"))
        scores[group.atom] = members or by_weight(problem, group)
    return scores
