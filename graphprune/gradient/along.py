"""Vector-Jacobian products of operators that work along one axis after the other: CumSum, Pad, Resize."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from graphprune.analysis.facts import NodeFacts
from graphprune.gradient.product import Values, default_domain
from graphprune.load import load
from graphprune.runtime.session import open_session

Array = NDArray[Any]

_OPSET = 19  # the first in which both have all that they have today
_LARGEST = 1 << 24  # entries of a matrix along an axis; of larger ones those are kept that are not zero
_ROWS = 256  # of a matrix made at a time
_ASIDE = ("axes", "keep_aspect_ratio_policy", "extrapolation_value")


def plain_resize(node: NodeFacts) -> bool:
    """Whether each axis is resized by itself and by what its sizes say."""
    by = node.attributes.get("coordinate_transformation_mode", b"")
    keep = node.attributes.get("keep_aspect_ratio_policy", b"stretch")
    return _text(by) != "tf_crop_and_resize" and _text(keep) == "stretch" and node.version > 10


def _pad(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x = values[node.inputs[0]]
    mode = _text(node.attributes.get("mode", b"constant"))
    told = node.attributes["pads"] if "pads" in node.attributes else values[node.inputs[1]].tolist()
    pads = [int(p) for p in told]
    axes = list(range(x.ndim))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [int(a) % x.ndim for a in values[node.inputs[3]].tolist()]
    found = given[0]
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if before or after:
            found = _unpadded(found, axis, x.shape[axis], before, after, mode)
    return [found]


def _resize(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    x, y = values[node.inputs[0]], values[node.outputs[0]]
    scales = {k: n / m for k, (m, n) in enumerate(zip(x.shape, y.shape, strict=True))}
    if len(node.inputs) > 2 and node.inputs[2] and values[node.inputs[2]].size:
        axes = node.attributes.get("axes") or range(x.ndim)
        told = values[node.inputs[2]].tolist()
        scales |= {int(a) % x.ndim: float(s) for a, s in zip(axes, told, strict=True)}
    how = tuple(sorted((k, v) for k, v in node.attributes.items() if k not in _ASIDE))
    found = given[0]
    for axis, scale in scales.items():
        if scale != 1:
            through = _resizing if x.shape[axis] * y.shape[axis] <= _LARGEST else _resizing_places
            found = _back(found, axis, through(how, x.shape[axis], scale))
    return [found]


def _cum_sum(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    """Each place counts in the sums behind it, so gradients are summed the other way."""
    axis = int(values[node.inputs[1]].reshape(()))
    found = given[0] if node.attributes.get("reverse") else np.flip(given[0], axis)
    summed = np.cumsum(found, axis)
    if node.attributes.get("exclusive"):
        summed = summed - found
    return [summed if node.attributes.get("reverse") else np.flip(summed, axis)]


@dataclass(frozen=True, slots=True)
class _Places:
    """A matrix of few entries, in the order of their rows.

    Attributes:
        rows: that have entries, `(n,)`.
        starts: of their entries among all, `(n,)`.
        columns, entries: of all, `(m,)`.
        height: of the matrix.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    entries: Array
    height: int


def _back(gradient: Array, axis: int, matrix: Array | _Places) -> Array:
    """Through `matrix`, shape `(before, after)`, along an axis."""
    if isinstance(matrix, _Places):
        moved = np.moveaxis(gradient, axis, 0)
        taken = moved[matrix.columns] * matrix.entries.reshape(-1, *[1] * (moved.ndim - 1))
        found = np.zeros((matrix.height, *moved.shape[1:]), moved.dtype)
        found[matrix.rows] = np.add.reduceat(taken, matrix.starts, axis=0)
        return np.moveaxis(found, 0, axis)
    moved = np.moveaxis(gradient, axis, -1)
    return np.moveaxis(moved @ matrix.T.astype(gradient.dtype), -1, axis)


def _unpadded(gradient: Array, axis: int, size: int, before: int, after: int, mode: str) -> Array:
    """What each place of a padded axis took goes back to where it is from; less than nothing had cropped."""
    start, stop = max(0, -before), size - max(0, -after)
    first, last = max(0, before), max(0, after)
    moved = np.moveaxis(gradient, axis, 0)
    found = np.zeros((size, *moved.shape[1:]), moved.dtype)
    inner = slice(first, len(moved) - last)
    found[start:stop] = moved[inner]
    if mode != "constant":
        source = np.pad(np.arange(start, stop), (first, last), mode=mode)  # type: ignore[call-overload]
        outside = np.ones(len(moved), bool)
        outside[inner] = False
        np.add.at(found, source[outside], moved[outside])
    return np.moveaxis(found, 0, axis)


@functools.lru_cache(maxsize=256)
def _resizing(how: tuple[tuple[str, Any], ...], size: int, scale: float) -> Array:
    """What each place takes from each place before."""
    return np.concatenate(list(_rows(how, size, scale)))


@functools.lru_cache(maxsize=8)
def _resizing_places(how: tuple[tuple[str, Any], ...], size: int, scale: float) -> _Places:
    """The same for long axes, whose matrix would not fit into memory."""
    found = [
        (k * _ROWS + r, c, block[r, c])
        for k, block in enumerate(_rows(how, size, scale))
        for r, c in [np.nonzero(block)]
    ]
    every, columns, entries = (np.concatenate(part) for part in zip(*found, strict=True))
    rows, starts = np.unique(every, return_index=True)
    return _Places(rows, starts, columns, entries, size)


def _rows(how: tuple[tuple[str, Any], ...], size: int, scale: float) -> Iterator[Array]:
    """The matrix of a resized axis, some rows at a time: what the runtime makes of the identity."""
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], **dict(how))
    graph = helper.make_graph(
        [node],
        "along",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, None, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("s", TensorProto.FLOAT, [4], [1.0, 1.0, 1.0, scale])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    assert isinstance(made, onnx.ModelProto)
    with open_session(load(made).model) as session:
        for first in range(0, size, _ROWS):
            rows = np.eye(min(_ROWS, size - first), size, first, dtype=np.float32)
            yield session.run({"x": rows[None, None]})["y"][0, 0]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


ALONG = default_domain({"CumSum": _cum_sum, "Pad": _pad, "Resize": _resize})
