"""L1 norm of the weights that make a slot: the classical filter norm (Li et al., ICLR 2017).

Only the first weight that has the group counts; it is the one that produces the slots.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.criteria.norms import member_norms


def score(problem: ScoringProblem) -> Scores:
    """Sum of absolute weights of a slot in the first member, over the mean of the group."""
    scores = {}
    for group, members in member_norms(problem, power=1).items():
        first = members[0] if members else np.ones(problem.shape_of(problem.analysis.by_atom[group]))
        scores[group] = first / max(float(first.mean()), np.finfo(np.float64).tiny)
    return scores
