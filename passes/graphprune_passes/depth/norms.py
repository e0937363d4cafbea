"""Scores of layers that look at weights only."""

from __future__ import annotations

import numpy as np

from graphprune.passes import Scores, ScoringProblem


def last(problem: ScoringProblem) -> Scores:
    """Root mean square of the weight that each layer ends in."""
    weights = {x.atom: x.weight for x in problem.analysis.layers}
    found = {}
    for group in problem.groups:
        array = np.asarray(problem.weight_array(weights[group.atom]), np.float32)
        found[group.atom] = np.array([float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))])
    return found
