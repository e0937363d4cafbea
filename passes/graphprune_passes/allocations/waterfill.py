"""Water-filling: every layer gets the same budget, unless it needs less.

The expected flow through a randomly masked network grows with the product of the densities p of its
layers. To maximise `sum log p_l` under `sum a_l p_l <= B`, `p_l <= 1` means `p_l = min(1, t / a_l)`,
where a_l is what the layer costs: multiply-adds, or parameters where the target speaks of parameters or
bytes. Densities become widths as in `layers.py`. Source: "PreCropping" ("Structured Pruning is All You
Need for Pruning CNNs at Initialization"); the closed form is derived here, hence adapted.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.layers import Floats, layers_of
from graphprune_passes.allocations.spreading import Paths, counts_for


def densities(costs: Floats, kept: float) -> Floats:
    """Densities `min(1, t / cost)` of layers that together keep this share of the cost."""
    low, high = 0.0, float(costs.max())
    for _ in range(100):
        level = (low + high) / 2
        enough = float(np.minimum(costs, level).sum()) >= kept * costs.sum()
        low, high = (low, level) if enough else (level, high)
    return np.asarray(np.minimum(1, high / costs))


def _removed(problem: AllocationProblem, share: float) -> Floats:
    layers = layers_of(problem)
    if not layers.shapes:
        return np.full(len(problem.groups), share)
    costs = layers.sizes if problem.measure in ("params", "size") else layers.macs
    found: Floats = 1 - layers.widths(densities(costs, 1 - share), costs)
    return found


_paths = Paths(_removed)


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group when the layers keep 1 - `share` of their cost."""
    return counts_for(problem, _paths.shares(problem, share))
