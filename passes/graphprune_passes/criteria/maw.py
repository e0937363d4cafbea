"""Peak weights of gated layers, and two relatives: MAW, VOW, PON.

For a neuron j with gate and up rows Wg_j, Wu_j:

    maw   (max Wg_j + |min Wg_j|) + (max Wu_j + |min Wu_j|)
    vow   var Wg_j + var Wu_j
    pon   ||Wg_j||_1 * ||Wu_j||_1

Each weight that makes the neuron is a member, so the reducers "producers" (maw, vow) and "prod" (pon, a
geometric mean, which ranks as the product does) put them together. Source: "Fragile Knowledge, Robust
Instruction-Following" (width pruning of gated layers) and its library. Layers without a gate, which are not
in the paper, have one member.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScores, ScoringProblem
from graphprune_passes.criteria.units import score_producers


def peaks(problem: ScoringProblem) -> MemberScores:
    """Largest weight plus the size of the smallest, in every weight that makes the slot."""
    return score_producers(problem, lambda rows: rows.max(axis=1) + np.abs(rows.min(axis=1)))


def variance(problem: ScoringProblem) -> MemberScores:
    """Variance of the weights that make the slot."""
    return score_producers(problem, lambda rows: rows.var(axis=1))


def norms(problem: ScoringProblem) -> MemberScores:
    """Sum of absolute weights in every weight that makes the slot, to be multiplied."""
    return score_producers(problem, lambda rows: np.abs(rows).sum(axis=1))
