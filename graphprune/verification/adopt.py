"""The original network with the pruned model's own weights, each at its old place, zeros for removed slots.

If the pruned model computes what this network computes, it is a pruned form of the original architecture,
whatever its weights are: repaired on inputs that nobody has any more, or trained since.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.weights import zero_of
from graphprune.compensate import with_weights
from graphprune.dims import Keeps
from graphprune.dims.evaluate import cut, kept_size
from graphprune.verification.twins import Twins


def adopt_weights(
    model: ir.Model, analysis: Analysis, keeps: Keeps, twins: Twins
) -> tuple[ir.Model | None, tuple[str, ...], str]:
    """The network, the weights whose kept part has other values, and why there is none (or "").

    Args:
        model: the analysed model.
        analysis: of it.
        keeps: kept slots by atom id.
        twins: the pruned model's values of its weights.
    """
    found: dict[str, NDArray[Any]] = {}
    changed: list[str] = []
    for weight in analysis.weights.values():
        if weight.made is not None or not weight.real:
            continue  # sizes and positions are not trained
        given = twins.get(weight.name)
        if given is None:
            if weight.name in analysis.opened:
                continue  # a bias at zero, which is not stored
            return None, (), f'the pruned model has nothing that corresponds to the weight "{weight.name}"'
        wanted = tuple(kept_size(d, keeps) for d in weight.dims)
        if given.shape != wanted:
            return (
                None,
                (),
                f'"{weight.name}" has shape {given.shape} in the pruned model, and {wanted} if cut as said',
            )
        original = analysis.facts.weights[weight.name].numpy()
        kept = cut(np.arange(weight.count).reshape(weight.shape), weight.dims, keeps)
        if not np.array_equal(original.reshape(-1)[kept], given):
            changed.append(weight.name)
        full = np.array(original)  # divisors stay what they were
        if weight.masked:
            full[...] = zero_of(weight, analysis.facts)
        full.reshape(-1)[kept.reshape(-1)] = given.reshape(-1)
        found[weight.name] = full
    return with_weights(model, found), tuple(changed), ""
