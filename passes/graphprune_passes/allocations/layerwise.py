"""Allocations by the importance of whole layers: sigmoid, line and softmax of blocks, and the PQ index.

The first three look at the residual block around each group (see `blocks.py`), the last at the scores of
the group. With I the importance of the groups and s the share that is asked for:

    cfsp-sigmoid  keep = (1 - s) u / mean u, u = sigmoid(z-score of I); where some would keep more than all,
                  deviations from the mean shrink as in CFSP's code. I is the angle between input and
                  output, divided by pi (Wang et al., COLING 2025). Adapted: its scale of 1e4 goes with
                  its number of tokens, ours is the deviation of I.
    adapt-linear  lose s - s (1 - s) I; I = -cosine, centred and divided by its largest size
                  (Adapt-Pruner). The paper's 50 steps with A = 0.02 and training in between add up to a
                  slope of 1; the factor 1 - s is ours, so that nothing is lost at s = 0 and everything at
                  s = 1. Adapted.
    softmax       lose s L softmax(-I / eps) with I = 1 - cosine, eps = 0.1 (MoDeGPT, Lin et al., ICLR
                  2025). Adapted: what a group cannot lose any more the others lose, instead of a clamp at
                  0.85.
    pqi           lose in proportion to 1 - m / d, with m = d (1 - I_pq)^(pq / (q - p)) the number of
                  slots that the PQ index I_pq = 1 - d^(1/q - 1/p) |v|_p / |v|_q of the scores v asks for;
                  p = 0.5, q = 1 (Diao et al., "Pruning Deep Neural Networks from a Sparsity Perspective",
                  ICLR 2023). Adapted: gamma follows from the share; no training between steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.blocks import Cosines
from graphprune_passes.allocations.spreading import counts_for, fill

Floats = NDArray[np.float64]

EPS = 0.1
P, Q = 0.5, 1.0
_cosines = Cosines()


def sigmoid(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Blocks that turn their input by a large angle keep more (CFSP)."""
    return counts_for(problem, 1 - sigmoid_keeps(_cosines.angles(problem), share))


def sigmoid_keeps(importance: Floats, share: float) -> Floats:
    """Share that each layer keeps."""
    spread = importance - importance.mean()
    u = 1 / (1 + np.exp(-spread / max(float(importance.std()), 1e-12)))
    keep = u / u.mean() * (1 - share)
    largest, mean = float(keep.max(initial=0)), 1 - share
    if largest > 1:
        shrink = (mean * (1 / (1 - share) - 1)) / (largest - mean) / 1.05
        keep = mean + (keep - mean) * shrink
    return np.asarray(np.clip(keep, 0, 1))


def linear(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Blocks that turn their input by a large angle lose less, on a line (Adapt-Pruner)."""
    importance = -_cosines.of(problem)
    importance = importance - importance.mean()
    importance = importance / max(float(np.abs(importance).max()), 1e-12)
    return counts_for(problem, np.clip(share - share * (1 - share) * importance, 0, 1))


def softmax(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Blocks that turn their input by a large angle lose less, exponentially (MoDeGPT)."""
    importance = 1 - _cosines.of(problem)
    weights = np.exp(-(importance - importance.min()) / EPS)
    return counts_for(problem, fill(problem, weights, share))


def pqi(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Groups whose scores lie in few slots lose more (PQ index)."""
    weights = np.array([1 - kept_bound(problem.scores[g.atom].reshape(-1)) for g in problem.groups])
    return counts_for(problem, fill(problem, weights, share))


def kept_bound(v: Floats) -> float:
    """Share of the slots that the PQ index asks for, `(1 - I_pq)^(pq / (q - p))`."""
    v = np.abs(v)
    norm_p, norm_q = (float((v**k).sum()) ** (1 / k) for k in (P, Q))
    index = 1 - len(v) ** (1 / Q - 1 / P) * norm_p / max(norm_q, 1e-300)
    return float(np.clip(1 - index, 0, 1) ** (P * Q / (Q - P)))
