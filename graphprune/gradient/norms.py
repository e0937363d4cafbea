"""Vector-Jacobian products of normalisations, softmax and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain, summed_by_channel

Array = NDArray[Any]


def _axes(node: NodeFacts, values: Values, rank: int) -> tuple[int, ...]:
    """Of a reduction: an attribute, or since opset 13 or 18 an input; all of them by default."""
    given = node.attributes.get("axes")
    if given is None and len(node.inputs) > 1 and node.inputs[1]:
        given = values[node.inputs[1]].tolist()
    if not given:
        return () if node.attributes.get("noop_with_empty_axes") else tuple(range(rank))
    return tuple(int(a) % rank for a in given)


def _kept(node: NodeFacts, values: Values) -> list[int]:
    """Sizes of what a reduction gives, with axes of one in the place of those that are gone."""
    shape = values[node.inputs[0]].shape
    axes = _axes(node, values, len(shape))
    return [1 if k in axes else n for k, n in enumerate(shape)]


def _reduce_sum(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x = values[node.inputs[0]]
    return [np.broadcast_to(given[0].reshape(_kept(node, values)), x.shape)]


def _reduce_mean(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x = values[node.inputs[0]]
    count = int(np.prod([x.shape[a] for a in _axes(node, values, x.ndim)]))
    found = _reduce_sum(node, values, given, asked)[0]
    return [found / np.array(count, x.dtype)]


def _reduce_extreme(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """Equal extremes share the gradient."""
    x = values[node.inputs[0]]
    kept = _kept(node, values)
    mine = x == values[node.outputs[0]].reshape(kept)
    over = tuple(k for k, n in enumerate(kept) if n == 1)
    return [given[0].reshape(kept) * mine / mine.sum(axis=over, keepdims=True).astype(x.dtype)]


def _reduce_squares(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """ReduceSumSquare, and its root ReduceL2, whose gradient is nothing where all is zero."""
    x = values[node.inputs[0]]
    kept = _kept(node, values)
    slope = given[0].reshape(kept)
    if node.op == "ReduceSumSquare":
        return [2 * x * slope]
    return [x * slope / _not_zero(values[node.outputs[0]].reshape(kept))]


def _reduce_size(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    return [np.sign(values[node.inputs[0]]) * _reduce_sum(node, values, given, asked)[0]]


def _reduce_log_sum_exp(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    x = values[node.inputs[0]]
    kept = _kept(node, values)
    return [given[0].reshape(kept) * np.exp(x - values[node.outputs[0]].reshape(kept))]


def _lp_norm(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, y, g = values[node.inputs[0]], values[node.outputs[0]], given[0]
    axis, p = int(node.attributes.get("axis", -1)), int(node.attributes.get("p", 2))
    size = np.abs(x).sum(axis, keepdims=True) if p == 1 else np.sqrt(np.square(x).sum(axis, keepdims=True))
    way = np.sign(x) if p == 1 else y
    return [(g - way * (g * y).sum(axis, keepdims=True)) / _not_zero(size)]


def _not_zero(x: Array) -> Array:
    return np.where(x == 0, 1, x).astype(x.dtype)


def _local_response(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """`x / (bias + alpha / size * sum of squares of channels near by) ** beta`."""
    x, size = values[node.inputs[0]], int(node.attributes["size"])
    alpha, beta = (float(node.attributes.get(n, v)) for n, v in (("alpha", 1e-4), ("beta", 0.75)))
    channel = np.arange(x.shape[1])
    apart = channel[None] - channel[:, None]  # of the channel that is read from the one that is made
    near = ((-((size - 1) // 2) <= apart) & (apart <= size // 2)).astype(x.dtype)
    base = np.array(node.attributes.get("bias", 1.0), x.dtype)
    base = base + _over_channels(near, np.square(x)) * np.array(alpha / size, x.dtype)
    shared = _over_channels(near.T, given[0] * x * base ** (-beta - 1))
    return [given[0] * base**-beta - x * shared * np.array(2 * alpha * beta / size, x.dtype)]


def _over_channels(matrix: Array, x: Array) -> Array:
    return np.moveaxis(np.tensordot(matrix, x, (1, 1)), 0, 1)


def _pool_all(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[0]]
    return [np.broadcast_to(given[0] / np.array(np.prod(x.shape[2:]), x.dtype), x.shape)]


def _softmax(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    y, g = values[node.outputs[0]], given[0]
    if np.isnan(y.sum()):  # where nothing is attended to, which what follows leaves out
        y = np.where(np.isnan(y), 0, y).astype(y.dtype)
    axis = int(node.attributes.get("axis", -1 if node.version >= 13 else 1))
    axes = (axis % y.ndim,) if node.version >= 13 else tuple(range(axis % y.ndim, y.ndim))
    return [y * (g - (g * y).sum(axis=axes, keepdims=True))]


def _log_softmax(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    y, g = values[node.outputs[0]], given[0]
    axis = int(node.attributes.get("axis", -1 if node.version >= 13 else 1))
    axes = (axis % y.ndim,) if node.version >= 13 else tuple(range(axis % y.ndim, y.ndim))
    return [g - np.exp(y) * g.sum(axis=axes, keepdims=True)]


def _layer_norm(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """LayerNormalization is `scale * (x - mean) / spread + bias`; RMSNormalization has no mean nor bias."""
    x, scale, g = values[node.inputs[0]], values[node.inputs[1]], given[0]
    axes = tuple(range(int(node.attributes.get("axis", -1)) % x.ndim, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True) if node.op == "LayerNormalization" else x
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    spread = np.sqrt(np.square(centred).mean(axis=axes, keepdims=True) + np.array(epsilon, x.dtype))
    normal = centred / spread
    slope = g * scale
    inner = slope - normal * (slope * normal).mean(axis=axes, keepdims=True)
    if node.op == "LayerNormalization":
        inner = inner - slope.mean(axis=axes, keepdims=True)
    return [inner / spread, g * normal, g]


def _batch_norm(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    """With fixed statistics."""
    x, scale, _, mean, variance = (values[n] for n in node.inputs)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    spread = np.sqrt(variance + np.array(node.attributes.get("epsilon", 1e-5), x.dtype)).reshape(shape)
    over = (0, *range(2, x.ndim))
    slope = None
    if asked[1]:
        slope = summed_by_channel(given[0], x - mean.reshape(shape)) / spread.reshape(-1)
    bias = given[0].sum(axis=over) if asked[2] else None
    return [given[0] * scale.reshape(shape) / spread, slope, bias, None, None]


NORMS = default_domain(
    {
        "BatchNormalization": _batch_norm,
        "GlobalAveragePool": _pool_all,
        "LRN": _local_response,
        "LayerNormalization": _layer_norm,
        "LogSoftmax": _log_softmax,
        "LpNormalization": _lp_norm,
        "RMSNormalization": _layer_norm,
        "ReduceL1": _reduce_size,
        "ReduceL2": _reduce_squares,
        "ReduceLogSumExp": _reduce_log_sum_exp,
        "ReduceMax": _reduce_extreme,
        "ReduceMean": _reduce_mean,
        "ReduceMin": _reduce_extreme,
        "ReduceSum": _reduce_sum,
        "ReduceSumSquare": _reduce_squares,
        "Softmax": _softmax,
    }
)
