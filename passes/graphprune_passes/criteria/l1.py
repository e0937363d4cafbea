"""L1 norm of the weights of a slot; with the reducer "first" the filter norm of Li et al. (ICLR 2017)."""

from __future__ import annotations

from graphprune.passes import MemberScores, ScoringProblem
from graphprune_passes.criteria.norms import member_norms


def score(problem: ScoringProblem) -> MemberScores:
    """Sum of absolute weights of a slot in every member."""
    return member_norms(problem, power=1)
