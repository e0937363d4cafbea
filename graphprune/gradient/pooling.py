"""Vector-Jacobian products of pooling, padding and transposed convolution."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]


def plain_window(node: NodeFacts) -> bool:
    """Whether a sliding window has explicit padding, and averages are taken of whole windows."""
    explicit = node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "")
    return explicit and not (node.op == "AveragePool" and node.attributes.get("ceil_mode"))


class _Window:
    """Where each place of a kernel meets the padded input, for every output position."""

    def __init__(self, node: NodeFacts, kernel: Sequence[int], outputs: Sequence[int]) -> None:
        rank = len(kernel)
        self.kernel, self.outputs = tuple(kernel), tuple(outputs)
        self.strides = tuple(int(s) for s in node.attributes.get("strides") or [1] * rank)
        self.dilations = tuple(int(d) for d in node.attributes.get("dilations") or [1] * rank)
        self.pads = tuple(int(p) for p in node.attributes.get("pads") or [0] * (2 * rank))

    def places(self) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Each place of the kernel and the slice of a padded array that it reads."""
        for place in itertools.product(*(range(k) for k in self.kernel)):
            cut = tuple(
                slice(p * d, p * d + s * (n - 1) + 1, s)
                for p, d, s, n in zip(place, self.dilations, self.strides, self.outputs, strict=True)
            )
            yield place, (slice(None), slice(None), *cut)

    def padded(self, x: Array, value: float) -> Array:
        """With what lies beyond the edge, as far as the last window reaches."""
        rank = len(self.kernel)
        widths = [(0, 0), (0, 0)]
        for k in range(rank):
            reach = self.strides[k] * (self.outputs[k] - 1) + self.dilations[k] * (self.kernel[k] - 1) + 1
            widths.append((self.pads[k], max(0, reach - self.pads[k] - x.shape[2 + k])))
        return np.pad(x, widths, constant_values=value)

    def inner(self, padded: Array, shape: Sequence[int]) -> Array:
        """The part of a padded array that is the input."""
        cut = tuple(slice(p, p + n) for p, n in zip(self.pads, shape[2:], strict=False))
        return np.asarray(padded[(slice(None), slice(None), *cut)])


def _window_of(node: NodeFacts, y: Array) -> _Window:
    return _Window(node, [int(k) for k in node.attributes["kernel_shape"]], y.shape[2:])


def _max_pool(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    """The first of equals takes the gradient."""
    x, y, g = values[node.inputs[0]], values[node.outputs[0]], given[0]
    window = _window_of(node, y)
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
    window = _window_of(node, y)
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


def _conv_transpose(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """A convolution of the gradient, place by place of the kernel."""
    g, x, weight = given[0], values[node.inputs[0]], values[node.inputs[1]]
    groups = int(node.attributes.get("group") or 1)
    window = _Window(node, weight.shape[2:], x.shape[2:])
    padded = window.padded(g, 0)
    batch, sizes = len(x), x.shape[2:]
    read = np.moveaxis(x.reshape(batch, groups, -1, *sizes), (1, 2), (0, 1))
    read = read.reshape(groups, read.shape[1], -1)
    taps = weight.reshape(groups, -1, *weight.shape[1:])
    left: Array | None = np.zeros_like(read) if asked[0] else None
    slope: Array | None = np.zeros_like(taps) if asked[1] else None
    for place, here in window.places():
        rows = np.moveaxis(padded[here].reshape(batch, groups, -1, *sizes), (1, 2), (0, 1))
        rows = rows.reshape(groups, rows.shape[1], -1)
        at: Any = (slice(None), slice(None), slice(None), *place)
        if left is not None:
            left += np.matmul(taps[at], rows)
        if slope is not None:
            slope[at] = np.matmul(read, np.swapaxes(rows, 1, 2))
    if left is not None:
        left = np.moveaxis(left.reshape(groups, -1, batch, *sizes), 2, 0).reshape(x.shape)
    bias = g.sum(axis=(0, *range(2, g.ndim))) if len(asked) > 2 and asked[2] else None
    return [left, None if slope is None else slope.reshape(weight.shape), bias]


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
        "ConvTranspose": _conv_transpose,
        "GlobalMaxPool": _max_pool_all,
        "InstanceNormalization": _instance_norm,
        "MaxPool": _max_pool,
    }
)
