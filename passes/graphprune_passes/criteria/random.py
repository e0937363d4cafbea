"""Random scores: the baseline every criterion must beat."""

from __future__ import annotations

import numpy as np

from graphprune.passes import Scores, ScoringProblem


def score(problem: ScoringProblem) -> Scores:
    """Uniform random numbers; the same for the same seed."""
    random = np.random.default_rng(problem.seed)
    return {g.atom: random.random(problem.shape_of(g)) for g in problem.groups}
