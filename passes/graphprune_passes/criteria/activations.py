"""Scores from what readers see: norms and variances of activations, alone and times weights.

With M and C the second moment and the covariance of the rows a reader gets, and W its weight, a column j
scores

    act-norm    sqrt(M_jj), the norm of the activation. This is also what the released code of CFSP
                computes, whose three weight terms cancel (Wang et al., "CFSP", COLING 2025)
    act-var     C_jj (Variance-Based Pruning, Berisha et al., ICCV 2025; VBP); FLAP calls it IFV
    wanda       mean_i |W_ij| * sqrt(M_jj) (Sun et al., "Wanda", ICLR 2024, in the structured form of FLAP's
                authors); FLAP calls it WIFN
    flap-wifv   C_jj * ||W_:j||^2 (An et al., "FLAP", AAAI 2024)

and a unit the sum over its columns (a head has many, a channel of a convolution one for each kernel
position), in every reader. The number of rows is divided out, so that layers compare. Adapted: FLAP
squares the metric of attention once more and standardises columns before it adds them up for a head; its
ranking counts a head as 512/3 neurons, ours (`global`) every slot as one until a budget says what they cost.
In FLAP's code Wanda looks at what the layers before have become, here at the original.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScores, ScoringProblem
from graphprune_passes.criteria.units import score_columns


def norm(problem: ScoringProblem) -> MemberScores:
    """Root mean square of the activation."""
    return score_columns(problem, lambda w, m: np.sqrt(np.maximum(np.diag(m.second), 0)))


def variance(problem: ScoringProblem) -> MemberScores:
    """Variance of the activation."""
    return score_columns(problem, lambda w, m: np.maximum(np.diag(m.covariance), 0))


def wanda(problem: ScoringProblem) -> MemberScores:
    """Mean absolute weight times the norm of the activation."""
    return score_columns(
        problem, lambda w, m: np.abs(w).mean(axis=0) * np.sqrt(np.maximum(np.diag(m.second), 0))
    )


def fluctuation(problem: ScoringProblem) -> MemberScores:
    """Variance of the activation times the squared weights that read it."""
    return score_columns(
        problem, lambda w, m: np.maximum(np.diag(m.covariance), 0) * np.square(w).sum(axis=0)
    )
