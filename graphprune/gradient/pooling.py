"""Vector-Jacobian products of pooling, and of a norm over what is pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain
from graphprune.gradient.window import Window

Array = NDArray[Any]


def _window_of(node: NodeFacts, x: Array, y: Array) -> Window:
    return Window(node, [int(k) for k in node.attributes["kernel_shape"]], y.shape[2:], x.shape[2:])


def _max_pool(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    """The first of equals takes the gradient."""
    x, y, g = values[node.inputs[0]], values[node.outputs[0]], given[0]
    window = _window_of(node, x, y)
    padded = window.padded(x, -np.inf)
    found, left = np.zeros_like(padded), np.ones(y.shape, bool)
    for _, here in window.places():
        mine = (padded[here] == y) & left
        left &= ~mine
        found[here] += g * mine
    return [window.inner(found, x.shape)]


def _average_pool(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x, y = values[node.inputs[0]], values[node.outputs[0]]
    window = _window_of(node, x, y)
    beyond = 1.0 if node.attributes.get("count_include_pad") else 0.0
    ones = window.padded(np.ones((1, 1, *x.shape[2:]), x.dtype), beyond)
    count = sum((ones[here] for _, here in window.places()), np.zeros((1, 1, *y.shape[2:]), x.dtype))
    share = given[0] / count
    found = np.zeros_like(window.padded(x, 0))
    for _, here in window.places():
        found[here] += share
    return [window.inner(found, x.shape)]


def _max_pool_all(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """Equal extremes share the gradient."""
    x = values[node.inputs[0]]
    mine = x == values[node.outputs[0]]
    over = tuple(range(2, x.ndim))
    return [given[0] * mine / mine.sum(axis=over, keepdims=True).astype(x.dtype)]


def _instance_norm(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x, scale, g = values[node.inputs[0]], values[node.inputs[1]], given[0]
    over = tuple(range(2, x.ndim))
    shape = (1, -1, *(1,) * (x.ndim - 2))
    epsilon = np.array(node.attributes.get("epsilon", 1e-5), x.dtype)
    centred = x - x.mean(axis=over, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=over, keepdims=True) + epsilon)
    normal, slope = centred / spread, g * scale.reshape(shape)
    inner = slope - slope.mean(axis=over, keepdims=True)
    inner = inner - normal * (slope * normal).mean(axis=over, keepdims=True)
    return [inner / spread, (g * normal).sum(axis=(0, *over)), g.sum(axis=(0, *over))]


POOLING = default_domain(
    {
        "AveragePool": _average_pool,
        "GlobalMaxPool": _max_pool_all,
        "InstanceNormalization": _instance_norm,
        "MaxPool": _max_pool,
    }
)
