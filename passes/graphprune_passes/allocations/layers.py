"""Shared by the allocations that think in layers: densities of weights become widths of groups.

A weight whose axes have the groups g keeps the share `prod r_g` of its elements. So widths follow from
densities p by least squares in logarithms, `min sum a_l (sum_g log r_g - log p_l)^2` with every r at most
1: a non-negative problem in -log r. Weights that share a group share its width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from graphprune.passes import AllocationProblem
from graphprune.statistics import find_linear

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layers:
    """The linear operators that some group can make thinner.

    Attributes:
        shapes: of their weights, outputs first, as the operator sees them.
        sizes: elements of each weight.
        macs: multiply-adds of each.
        axes: how often each group (columns) is an axis of each weight (rows).
    """

    shapes: tuple[tuple[int, ...], ...]
    sizes: Floats
    macs: Floats
    axes: Floats

    def widths(self, densities: Floats, importance: Floats) -> Floats:
        """Share of its slots that each group keeps."""
        weight = np.sqrt(importance / max(float(importance.max(initial=0)), 1e-30))
        wanted = -np.log(np.clip(densities, 1e-6, 1))
        found, _ = nnls(self.axes * weight[:, None], wanted * weight)
        return np.asarray(np.exp(-found))


def layers_of(problem: AllocationProblem) -> Layers:
    """The layers of a model as far as the groups reach."""
    analysis = problem.scoring.analysis
    macs = problem.costs.macs_by_node()
    place = {g.atom: k for k, g in enumerate(problem.groups)}
    shapes, rows, multiplications = [], [], []
    for item in find_linear(analysis):
        row = np.zeros(len(place))
        for dim in analysis.weights[item.weight].dims:
            for atom in dim.atoms:
                if atom in place:
                    row[place[atom]] += 1
        if row.any():
            shapes.append(item.shape)
            rows.append(row)
            multiplications.append(float(sum(macs.get(u.node, 0) for u in item.uses)))
    sizes = np.array([float(np.prod(s)) for s in shapes])
    return Layers(tuple(shapes), sizes, np.maximum(np.array(multiplications), 1.0), np.array(rows))
