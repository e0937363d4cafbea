"""What the outputs lose when one layer is removed and leaves its mean behind.

The mean squared error of the outputs, as a share of their variance. Losses of single layers add up well as
long as they are small, so a knapsack can choose among them. Source: LAPTOP-Diff (Zhang et al., 2024), which
replaces the layer by the identity; that its mean stays is ours.
"""

from __future__ import annotations

import numpy as np

from graphprune.compensate.trial import distance
from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.depth.trials import Removals


def loss(problem: ScoringProblem) -> Scores:
    """Share of the variance of the outputs that is lost without each layer."""
    removals = Removals(problem, len(problem.groups))
    losses = {
        g.atom: distance(removals.whole, removals.without([g.atom])) for g in problem.counted(problem.groups)
    }
    removals.close()
    return {a: np.array([max(1e-12, found)]) for a, found in losses.items()}
