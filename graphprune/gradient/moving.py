"""Vector-Jacobian products of operators that move elements and change none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain


def _reshape(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    return [given[0].reshape(values[node.inputs[0]].shape)]


def _identity(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    return [given[0]]


def _transpose(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    order = node.attributes.get("perm") or range(given[0].ndim)[::-1]
    return [np.transpose(given[0], np.argsort(list(order)))]


def _concat(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    axis = int(node.attributes["axis"])
    ends = np.cumsum([values[n].shape[axis] for n in node.inputs])[:-1]
    return list(np.split(given[0], ends, axis=axis))


def _split(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    parts = [
        np.zeros_like(values[o]) if g is None else g for o, g in zip(node.outputs, given, strict=True) if o
    ]
    return [np.concatenate(parts, axis=int(node.attributes.get("axis", 0)))]


def _slice(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[0]]

    def operand(place: int, name: str) -> list[int] | None:
        if name in node.attributes:
            return [int(v) for v in node.attributes[name]]
        found = node.inputs[place] if place < len(node.inputs) else ""
        return [int(v) for v in values[found].tolist()] if found else None

    starts, ends = operand(1, "starts") or [], operand(2, "ends") or []
    axes = operand(3, "axes") or list(range(len(starts)))
    steps = operand(4, "steps") or [1] * len(starts)
    places = [np.arange(n) for n in x.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        # Beyond both ends means to them; Python reads -1 as the last, so a step back to the start has no end.
        stop: int | None = max(end, -size - 1) if end < 0 else min(end, size)
        if step < 0 and end < -size:
            stop = None
        places[axis % x.ndim] = np.arange(size)[slice(max(start, -size), stop, step)]
    found = np.zeros(x.shape, given[0].dtype)
    found[np.ix_(*places)] = given[0]
    return [found]


def _gather(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, indices = values[node.inputs[0]], values[node.inputs[1]]
    axis = int(node.attributes.get("axis", 0)) % x.ndim
    g = np.moveaxis(given[0], range(axis, axis + indices.ndim), range(indices.ndim))
    found = np.zeros((x.shape[axis], *x.shape[:axis], *x.shape[axis + 1 :]), g.dtype)
    np.add.at(found, indices % x.shape[axis], g)
    return [np.moveaxis(found, 0, axis)]


def _expand(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    return [given[0]]  # summed over the stretched axes by the caller


def _depth_to_space(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    n, c, h, w = values[node.inputs[0]].shape
    block = int(node.attributes["blocksize"])
    parts = given[0].reshape(n, c // block**2, h, block, w, block)
    # Where channels come last among what is taken apart, and where they come first.
    order = (0, 1, 3, 5, 2, 4) if node.attributes.get("mode") == "CRD" else (0, 3, 5, 1, 2, 4)
    return [parts.transpose(order).reshape(n, c, h, w)]


def _space_to_depth(
    node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]
) -> Sequence[Any]:
    n, c, h, w = values[node.inputs[0]].shape
    block = int(node.attributes["blocksize"])
    parts = given[0].reshape(n, block, block, c, h // block, w // block)
    return [parts.transpose(0, 3, 4, 1, 5, 2).reshape(n, c, h, w)]


def _tile(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    shape = values[node.inputs[0]].shape
    times = [n // max(m, 1) for m, n in zip(shape, given[0].shape, strict=True)]
    apart = given[0].reshape([n for pair in zip(times, shape, strict=True) for n in pair])
    return [apart.sum(axis=tuple(range(0, apart.ndim, 2)))]


def _trilu(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    k = int(values[node.inputs[1]]) if len(node.inputs) > 1 and node.inputs[1] else 0
    return [np.triu(given[0], k) if node.attributes.get("upper", 1) else np.tril(given[0], k)]


MOVING = default_domain(
    {
        "Concat": _concat,
        "DepthToSpace": _depth_to_space,
        "Dropout": _identity,
        "Expand": _expand,
        "Flatten": _reshape,
        "Gather": _gather,
        "Identity": _identity,
        "Reshape": _reshape,
        "Slice": _slice,
        "SpaceToDepth": _space_to_depth,
        "Split": _split,
        "Squeeze": _reshape,
        "Tile": _tile,
        "Transpose": _transpose,
        "Trilu": _trilu,
        "Unsqueeze": _reshape,
    }
)
