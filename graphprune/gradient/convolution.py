"""Vector-Jacobian products of convolutions, plain and transposed.

Each is the other's transpose: the gradient at the input of one is what the other gives, which ONNX Runtime
computes. The gradient at the weight is the same for both: what the small side has times what the wide side
has, one product for each place of the kernel.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain, summed_by_channel
from graphprune.gradient.window import Window
from graphprune.runtime.session import Session, open_session

Array = NDArray[Any]
_OPSET, _IR_VERSION = 11, 8
_THREADS = 2  # of each of many sessions


def _conv(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    g, x, weight = given[0], values[node.inputs[0]], values[node.inputs[1]]
    window = Window(node, weight.shape[2:], g.shape[2:], x.shape[2:])
    left = _transposed("ConvTranspose", node, window, g, weight, x.shape[2:]) if asked[0] else None
    slope = _slope(window, x, g, weight) if asked[1] else None
    return [left, slope, _bias(g, asked)]


def _conv_transpose(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    g, x, weight = given[0], values[node.inputs[0]], values[node.inputs[1]]
    window = Window(node, weight.shape[2:], x.shape[2:], g.shape[2:])
    left = _transposed("Conv", node, window, g, weight, x.shape[2:]) if asked[0] else None
    slope = _slope(window, g, x, weight) if asked[1] else None
    return [left, slope, _bias(g, asked)]


def _bias(g: Array, asked: Sequence[bool]) -> Array | None:
    return np.asarray(g.sum(axis=(0, *range(2, g.ndim)))) if len(asked) > 2 and asked[2] else None


def _slope(window: Window, wide: Array, small: Array, weight: Array) -> Array:
    """At the weight: `wide` is what the kernel slides over, `small` has one value for each position."""
    groups = wide.shape[1] // weight.shape[1]
    if weight.shape[:2] == (groups, 1):
        return _slope_by_channel(window, wide, small, weight)
    padded = window.padded(_channels_first(wide, groups), 0)
    rows = _channels_first(small, groups)
    rows = rows.reshape(groups, rows.shape[1], -1)
    found = np.empty((groups, rows.shape[1], *weight.shape[1:]), weight.dtype)
    for place, here in window.places():
        seen = padded[here].reshape(groups, padded.shape[1], -1)
        at: Any = (..., *place)
        found[at] = np.matmul(rows, np.swapaxes(seen, 1, 2))
    return found.reshape(weight.shape)


def _slope_by_channel(window: Window, wide: Array, small: Array, weight: Array) -> Array:
    """The same where each channel has a kernel of its own: sums of products, nothing to be set in order."""
    padded = window.padded(wide, 0)
    found = np.empty_like(weight)
    for place, here in window.places():
        at: Any = (slice(None), 0, *place)
        found[at] = summed_by_channel(small, padded[here])
    return found


def _channels_first(x: Array, groups: int) -> Array:
    """(batch, channels, *sizes) as (groups, channels of a group, batch, *sizes)."""
    return np.moveaxis(x.reshape(len(x), groups, -1, *x.shape[2:]), 0, 2)


def _transposed(
    op: str, node: NodeFacts, window: Window, g: Array, weight: Array, sizes: Sequence[int]
) -> Array:
    """What the transpose of a convolution gives.

    Args:
        op: the transpose.
        node: the convolution.
        window: its kernel.
        g: what the transpose reads.
        weight: of both.
        sizes: of what the transpose gives.
    """
    more: tuple[int, ...] = ()
    if op == "ConvTranspose":
        before, after = window.pads[: len(sizes)], window.pads[len(sizes) :]
        more = tuple(n + b + a - r for n, b, a, r in zip(sizes, before, after, window.reach, strict=True))
    groups = int(node.attributes.get("group") or 1)
    session = _opened(op, groups, window.strides, window.dilations, window.pads, more)
    found = session.run({"x": g.astype(np.float32), "w": weight.astype(np.float32)})["y"]
    cut: Any = (..., *(slice(0, n) for n in sizes))
    return np.asarray(found[cut].astype(g.dtype, copy=False))


@functools.lru_cache(maxsize=256)
def _opened(
    op: str,
    groups: int,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    more: tuple[int, ...],
) -> Session:
    """A session of one operator that reads its weight."""
    ends = [
        ir.Value(name=n, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None] * (len(strides) + 2)))
        for n in ("x", "w", "y")
    ]
    attributes = [
        ir.AttrInt64("group", groups),
        ir.AttrInt64s("strides", strides),
        ir.AttrInt64s("dilations", dilations),
        ir.AttrInt64s("pads", pads),
    ]
    if more:
        attributes.append(ir.AttrInt64s("output_padding", more))
    node = ir.Node("", op, ends[:2], attributes, outputs=ends[2:])
    graph = ir.Graph(ends[:2], ends[2:], nodes=[node], opset_imports={"": _OPSET}, name="transpose")
    return open_session(ir.Model(graph, ir_version=_IR_VERSION), threads=_THREADS, arena=False)


CONVOLUTION = default_domain({"Conv": _conv, "ConvTranspose": _conv_transpose})
