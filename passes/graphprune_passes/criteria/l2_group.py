"""Group L2 norm: what a slot weighs in everything that makes and reads it.

Every weight axis that mentions the group contributes the sum of its squared elements in the slot;
contributions are averaged over the weights and divided by the mean of the group, which makes groups
comparable. Source: the group norm of DepGraph (Fang et al., CVPR 2023).
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.criteria.norms import member_norms


def score(problem: ScoringProblem) -> Scores:
    """Mean over members of the squared L2 norm of a slot, over the mean of the group."""
    scores = {}
    for group, members in member_norms(problem, power=2).items():
        mean = (
            np.mean(members, axis=0)
            if members
            else np.ones(problem.shape_of(problem.analysis.by_atom[group]))
        )
        scores[group] = mean / max(float(mean.mean()), np.finfo(np.float64).tiny)
    return scores
