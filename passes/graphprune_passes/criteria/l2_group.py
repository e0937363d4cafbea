"""Group L2 norm: what a slot weighs in everything that makes and reads it.

Every weight axis that mentions the group contributes the sum of its squared elements in the slot. Source: the
group norm of DepGraph (Fang et al., CVPR 2023).
"""

from __future__ import annotations

from graphprune.passes import MemberScores, ScoringProblem
from graphprune_passes.criteria.norms import member_norms


def score(problem: ScoringProblem) -> MemberScores:
    """Squared L2 norm of a slot in every member."""
    return member_norms(problem, power=2)
