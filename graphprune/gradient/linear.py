"""Vector-Jacobian products of matrix products and convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]


def _matmul(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    g, a, b = given[0], values[node.inputs[0]], values[node.inputs[1]]
    if a.ndim == 1 or b.ndim == 1:
        g = np.expand_dims(g, -2) if a.ndim == 1 else g
        g = np.expand_dims(g, -1) if b.ndim == 1 else g
    x = a[None] if a.ndim == 1 else a
    w = b[:, None] if b.ndim == 1 else b
    left = right = None
    if asked[0]:
        left = np.matmul(g, np.swapaxes(w, -1, -2))
        left = left[..., 0, :] if a.ndim == 1 else left
    if asked[1] and w.ndim == 2:  # one product instead of one for each sample
        right = x.reshape(-1, x.shape[-1]).T @ g.reshape(-1, g.shape[-1])
    elif asked[1]:
        right = np.matmul(np.swapaxes(x, -1, -2), g)
    if right is not None and b.ndim == 1:
        right = right[..., 0]
    return [left, right]


def _gemm(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    g, a, b = given[0], values[node.inputs[0]], values[node.inputs[1]]
    alpha, beta = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    x = a.T if node.attributes.get("transA") else a
    w = b.T if node.attributes.get("transB") else b
    left = alpha * (g @ w.T) if asked[0] else None
    right = alpha * (x.T @ g) if asked[1] else None
    if left is not None and node.attributes.get("transA"):
        left = left.T
    if right is not None and node.attributes.get("transB"):
        right = right.T
    return [left, right, beta * g]


def _conv(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    """One product for each place of the kernel; explicit padding only."""
    g, x, weight = given[0], values[node.inputs[0]], values[node.inputs[1]]
    rank, groups = x.ndim - 2, int(node.attributes.get("group") or 1)
    strides = tuple(int(s) for s in node.attributes.get("strides") or [1] * rank)
    dilations = tuple(int(d) for d in node.attributes.get("dilations") or [1] * rank)
    pads = tuple(int(p) for p in node.attributes.get("pads") or [0] * (2 * rank))
    sizes = g.shape[2:]
    padded = _channels_first(x, groups)
    if any(pads):
        padded = np.pad(padded, [(0, 0)] * 3 + list(zip(pads[:rank], pads[rank:], strict=True)))
    wide = np.zeros_like(padded) if asked[0] else None
    slope = np.zeros_like(weight) if asked[1] else None
    rows = _channels_first(g, groups)
    rows = rows.reshape(groups, rows.shape[1], -1)
    taps = weight.reshape(groups, -1, *weight.shape[1:])
    for place in itertools.product(*(range(k) for k in weight.shape[2:])):
        cut = tuple(
            slice(p * d, p * d + s * (n - 1) + 1, s)
            for p, d, s, n in zip(place, dilations, strides, sizes, strict=True)
        )
        here: Any = (slice(None), slice(None), slice(None), *cut)
        at: Any = (slice(None), slice(None), *place)
        if slope is not None:
            seen = padded[here].reshape(groups, padded.shape[1], -1)
            slope[at] = np.matmul(rows, np.swapaxes(seen, 1, 2)).reshape(slope.shape[:2])
        if wide is not None:
            tap = taps[(slice(None), *at)]
            back = np.matmul(np.swapaxes(tap, 1, 2), rows)
            wide[here] += back.reshape(wide[here].shape)
    left = None
    if wide is not None:
        inner: Any = tuple(slice(p, p + n) for p, n in zip(pads, x.shape[2:], strict=False))
        left = np.moveaxis(wide[(..., *inner)], 2, 0).reshape(x.shape)
    bias = g.sum(axis=(0, *range(2, g.ndim))) if len(asked) > 2 and asked[2] else None
    return [left, slope, bias]


def _channels_first(x: Array, groups: int) -> Array:
    """(batch, channels, *sizes) as (groups, channels of a group, batch, *sizes), in one piece."""
    grouped = x.reshape(len(x), groups, -1, *x.shape[2:])
    return np.ascontiguousarray(np.moveaxis(grouped, 0, 2))


LINEAR = default_domain({"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul})
