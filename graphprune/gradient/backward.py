"""Reverse accumulation over nodes whose values are known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.along import ALONG, plain_resize
from graphprune.gradient.convolution import CONVOLUTION
from graphprune.gradient.einsum import EINSUM, plain_einsum
from graphprune.gradient.elementwise import ELEMENTWISE
from graphprune.gradient.indexed import INDEXED, plain_scatter
from graphprune.gradient.linear import LINEAR
from graphprune.gradient.moving import MOVING
from graphprune.gradient.norms import NORMS
from graphprune.gradient.pooling import POOLING
from graphprune.gradient.product import Product, Values
from graphprune.gradient.recurrent import RECURRENT, plain
from graphprune.gradient.window import plain_window

Array = NDArray[Any]

PRODUCTS: Mapping[tuple[str, str], Product] = {
    **ALONG,
    **CONVOLUTION,
    **EINSUM,
    **ELEMENTWISE,
    **INDEXED,
    **LINEAR,
    **MOVING,
    **NORMS,
    **POOLING,
    **RECURRENT,
}
_PLAIN: Mapping[str, Callable[[NodeFacts], bool]] = {
    **{op: plain for _, op in RECURRENT},
    **dict.fromkeys(("AveragePool", "Conv", "ConvTranspose", "MaxPool"), plain_window),
    **dict.fromkeys(("ScatterElements", "ScatterND"), plain_scatter),
    "Einsum": plain_einsum,
    "Resize": plain_resize,
}
"""Operators of ai.onnx of which only some forms have a product."""

_COMPARES = "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor"
_NO_GRADIENT = frozenset({"Shape", "Size", "ConstantOfShape", *_COMPARES.split()})
"""What these give stays as it is however little their inputs change, almost everywhere."""


def differentiable(node: NodeFacts) -> bool:
    """Whether gradients pass through this node, or need not."""
    if not node.domain and node.op in _PLAIN:
        return _PLAIN[node.op](node)
    return (node.domain, node.op) in PRODUCTS or (not node.domain and node.op in _NO_GRADIENT)


def backward(
    nodes: Sequence[NodeFacts], values: Values, seeds: Mapping[str, Array], wanted: Collection[str]
) -> dict[str, Array]:
    """Gradients of `sum(seed * tensor)` with respect to some tensors.

    Args:
        nodes: in topological order, all of them `differentiable`.
        values: of every tensor that they read or give.
        seeds: gradients at tensors that they give.
        wanted: tensors whose gradients are asked for.

    Returns:
        By name, each of the shape of its tensor; zeros where nothing depends on it.
    """
    needed = _needed(nodes, wanted)
    gradients: dict[str, Array] = dict(seeds)
    for node in reversed(nodes):
        given = [gradients.get(o) for o in node.outputs]
        if all(g is None for g in given) or (node.domain, node.op) not in PRODUCTS:
            continue
        asked = [n in needed for n in node.inputs]
        if not any(asked):
            continue
        found = PRODUCTS[node.domain, node.op](node, values, given, asked)
        for name, ask, gradient in zip(node.inputs, asked, found, strict=False):
            if not ask or gradient is None:
                continue
            reduced = _unbroadcast(gradient, values[name].shape)
            gradients[name] = gradients[name] + reduced if name in gradients else reduced
    return {n: gradients.get(n, np.zeros_like(values[n])) for n in wanted}


def _needed(nodes: Sequence[NodeFacts], wanted: Collection[str]) -> set[str]:
    """Tensors on the way from the wanted ones."""
    found = set(wanted)
    for node in nodes:
        if any(n in found for n in node.inputs) and node.op not in _NO_GRADIENT:
            found.update(o for o in node.outputs if o)
    return found


def _unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes that broadcasting has stretched."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra)))
    stretched = tuple(k for k, n in enumerate(shape) if n == 1 and gradient.shape[k] != 1)
    return np.asarray(gradient.sum(axis=stretched, keepdims=True)).reshape(shape)
