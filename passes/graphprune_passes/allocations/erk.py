"""ERK: small layers stay dense, large ones give more.

The density of a weight is `eps * (sum of its sizes) / (product of its sizes)`, at most 1; eps is raised
until the weights together have what the share leaves. Densities become widths as in `layers.py`. Source:
Evci et al., "RigL", ICML 2020 (Erdos-Renyi kernel), with random masks in Liu et al., "The Unreasonable
Effectiveness of Random Pruning", ICLR 2022. Adapted: their weights are sparse, ours are thinner.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import AllocationProblem
from graphprune_passes.allocations.layers import Floats, layers_of
from graphprune_passes.allocations.spreading import Paths, counts_for


def densities(shapes: tuple[tuple[int, ...], ...], kept: float) -> Floats:
    """Densities of weights that together keep this share of their elements."""
    sizes = np.array([float(np.prod(s)) for s in shapes])
    raw = np.array([sum(s) / np.prod(s) for s in shapes])
    low, high = 0.0, 1 / float(raw.min())
    for _ in range(100):
        eps = (low + high) / 2
        enough = float((sizes * np.minimum(1, eps * raw)).sum()) >= kept * sizes.sum()
        low, high = (low, eps) if enough else (eps, high)
    return np.asarray(np.minimum(1, high * raw))


def _removed(problem: AllocationProblem, share: float) -> Floats:
    layers = layers_of(problem)
    if not layers.shapes:
        return np.full(len(problem.groups), share)
    found: Floats = 1 - layers.widths(densities(layers.shapes, 1 - share), layers.sizes)
    return found


_paths = Paths(_removed)


def allocate(problem: AllocationProblem, share: float) -> dict[int, int]:
    """Kept slots by group when the weights keep 1 - `share` of their elements."""
    return counts_for(problem, _paths.shares(problem, share))
