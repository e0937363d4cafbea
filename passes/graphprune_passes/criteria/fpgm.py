"""FPGM: units whose weights lie near those of the others can be replaced by them.

The score of a unit is the sum of its distances to all units, `sum_i ||W_j - W_i||_2`, over the rows of
the weight that makes them; the smallest lie nearest to the geometric median. Source: He et al., "Filter
Pruning via Geometric Median", CVPR 2019. Adapted: any weight with rows counts, not only filters.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScores, ScoringProblem
from graphprune_passes.criteria.units import Floats, score_producers


def score(problem: ScoringProblem) -> MemberScores:
    """Sum of the distances to all other units, in every weight that makes them."""
    return score_producers(problem, distances)


def distances(rows: Floats) -> Floats:
    """For each row the sum of its Euclidean distances to all rows."""
    squares = np.square(rows).sum(axis=1)
    apart = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    np.fill_diagonal(apart, 0)  # cancellation leaves a little
    return np.asarray(np.sqrt(np.maximum(apart, 0)).sum(axis=1))
