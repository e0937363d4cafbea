"""Vector-Jacobian products of operators that read or write at places which other tensors tell.

The places themselves have no gradient: where they are chosen, the choice stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]
Places = tuple[Array, ...]


def plain_scatter(node: NodeFacts) -> bool:
    """Whether what is written replaces what was there, or is added to it."""
    return node.attributes.get("reduction", "none") in ("none", "add")


def _along(indices: Array, axis: int, shape: Sequence[int]) -> Places:
    """Places of elements that differ from their own along one axis only."""
    places = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    places[axis % len(shape)] = indices % shape[axis]
    return tuple(places)


def _inside(indices: Array, shape: Sequence[int], batch: int = 0) -> Places:
    """Places that the last axis of `indices` tells, behind some axes in common."""
    outer = np.ogrid[tuple(slice(n) for n in indices.shape[:-1])][:batch]
    sizes = shape[batch : batch + indices.shape[-1]]
    return (*outer, *(indices[..., k] % size for k, size in enumerate(sizes)))


def _axis(node: NodeFacts) -> int:
    return int(node.attributes.get("axis", 0))


def _put(gradient: Array, places: Places, like: Array) -> Array:
    found = np.zeros(like.shape, gradient.dtype)
    np.add.at(found, places, gradient)
    return found


def _gather_elements(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.inputs[1]]
    return [_put(given[0], _along(indices, _axis(node), x.shape), x)]


def _gather_nd(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.inputs[1]]
    return [_put(given[0], _inside(indices, x.shape, int(node.attributes.get("batch_dims", 0))), x)]


def _scatter_elements(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.inputs[1]]
    return _written(node, given[0], _along(indices, _axis(node), x.shape))


def _scatter_nd(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.inputs[1]]
    return _written(node, given[0], _inside(indices, x.shape))


def _written(node: NodeFacts, gradient: Array, places: Places) -> list[Array | None]:
    """Gradients at what is written into, nothing for the places, and at what is written."""
    stays = gradient
    if node.attributes.get("reduction", "none") == "none":
        stays = gradient.copy()
        stays[places] = 0
    return [stays, None, gradient[places]]


def _top_k(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.outputs[1]]
    axis = int(node.attributes.get("axis", -1))
    return [None if given[0] is None else _put(given[0], _along(indices, axis, x.shape), x)]


INDEXED = default_domain(
    {
        "GatherElements": _gather_elements,
        "GatherND": _gather_nd,
        "ScatterElements": _scatter_elements,
        "ScatterND": _scatter_nd,
        "TopK": _top_k,
    }
)
