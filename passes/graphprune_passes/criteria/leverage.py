"""Ridge leverage: how little of an activation the others could tell.

`diag(M (M + l 1)^-1)` of the second moment M of what a reader gets; columns of a unit are added up.
Source: MoDeGPT (Lin et al., ICLR 2025) and UniQL. Adapted: l is 1e-4 of the mean of the diagonal instead
of 1e-4.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScores, ScoringProblem
from graphprune.statistics import Moments
from graphprune_passes.criteria.units import Floats, score_columns

RIDGE = 1e-4


def score(problem: ScoringProblem) -> MemberScores:
    """Ridge leverage of each slot in every reader."""
    return score_columns(problem, lambda weight, moments: leverage(moments))


def leverage(moments: Moments) -> Floats:
    """Ridge leverage of every column."""
    second = moments.second
    ridge = max(RIDGE * float(np.trace(second)) / len(second), 1e-30)
    inverse = np.linalg.inv(second + ridge * np.eye(len(second)))
    return np.clip(1 - ridge * np.diag(inverse), 0, 1)
