"""Operators that only move elements: what they make of an array of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts

Labels = NDArray[np.int64]
Shape = tuple[int, ...]
Value = Callable[[NodeFacts, int], NDArray[Any] | None]
"""A small input of a node, such as an index; None where it is not known."""
Move = Callable[[NodeFacts, Labels, list[Shape], Value], list[Labels] | None]
"""From the labels of the first input and the shapes of the outputs to their labels; None if unknown."""

_FLOATS = frozenset({1, 10, 11, 16})  # element types of Cast


def _reshaped(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels]:
    return [x.reshape(after[0])]


def _stretched(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels]:
    return [np.broadcast_to(x, after[0])]


def _cast(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels] | None:
    return [x] if node.attributes.get("to") in _FLOATS else None


def _transposed(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels]:
    return [x.transpose(node.attributes.get("perm"))]


def _split(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels]:
    axis = int(node.attributes.get("axis") or 0)
    return np.split(x, np.cumsum([s[axis] for s in after])[:-1], axis)


def _gathered(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels] | None:
    index = value(node, 1)
    return None if index is None else [x.take(index.astype(np.int64), int(node.attributes.get("axis") or 0))]


def _sliced(node: NodeFacts, x: Labels, after: list[Shape], value: Value) -> list[Labels] | None:
    if len(node.inputs) < 3:  # attributes, as in old models, are made inputs or left alone
        return None
    starts, ends, axes, steps = (value(node, k) for k in range(1, 5))
    if starts is None or ends is None or any(len(node.inputs) > k and value(node, k) is None for k in (3, 4)):
        return None
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    along = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Python counts an end before the first element from the back; ONNX means all down to the first.
        down = int(step) < 0 and int(end) < -x.shape[int(axis)]
        along[int(axis)] = slice(int(start), None if down else int(end), int(step))
    found = x[tuple(along)]
    return [found] if found.shape == after[0] else None


MOVES: Mapping[str, Move] = {
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"), _reshaped),
    "Expand": _stretched,
    "Cast": _cast,
    "Transpose": _transposed,
    "Split": _split,
    "Gather": _gathered,
    "Slice": _sliced,
}
