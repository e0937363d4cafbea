"""What is picked out of a Concat is read from the operand that holds it.

Exporters join the last states of all layers of a recurrent network and take one of them. Read through the
Concat, all layers would have to keep the same hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.normalise.constants import is_constant
from graphprune.normalise.names import fresh_name, value_names

_END = np.iinfo(np.int64).max
_DIRECTIONS = {"LSTM": (1, 0, 0), "GRU": (1, 0), "RNN": (1, 0)}
"""By operator, the axis of each output that has a slot for each direction."""


def bypass_joins(model: ir.Model) -> None:
    """Makes Gather, Slice and Split with constant places read one operand of a Concat, in place.

    Only sizes that follow from the graph itself are used: what else is said of a tensor may be stale.
    """
    nodes = [n for n in ir.traversal.RecursiveGraphIterator(model.graph) if not n.domain]
    readers = [n for n in nodes if n.op_type in _BYPASS and n.inputs[0] is not None]
    if not any(_join(n) for n in readers):
        return
    reads = _Reads(model)
    for node in readers:
        while (join := _join(node)) is not None and _BYPASS[node.op_type](reads, node, join):
            pass  # what it reads now may be a Concat again


def _join(node: ir.Node) -> ir.Node | None:
    made = None if node.inputs[0] is None else node.inputs[0].producer()
    return made if made is not None and made.op_type == "Concat" and not made.domain else None


class _Reads:
    """Moves readers of a Concat in one model; each move says whether it was made."""

    def __init__(self, model: ir.Model) -> None:
        self._graph, self._version = model.graph, model.ir_version
        self._taken = value_names(model)

    def gather(self, node: ir.Node, join: ir.Node) -> bool:
        """Read rows of one operand."""
        index = self._ints(node, 1)
        if index is None or not index.size or node.attributes.get_int("axis", 0) != _axis(join):
            return False
        found = self._locate(join, int(index.min()), int(index.max()))
        if found is None:
            return False
        node.replace_input_with(0, found[0])
        node.replace_input_with(1, self._constant(node, 1, index + found[1]))
        return True

    def slice(self, node: ir.Node, join: ir.Node) -> bool:
        """Read a piece of one operand."""
        given = [self._ints(node, k) for k in range(1, len(node.inputs))]
        if len(given) < 3 or any(v is None or v.shape != (1,) for v in given):
            return False
        start, end, axis, *step = (int(v[0]) for v in given if v is not None)
        last = -1 if start < 0 and end >= np.iinfo(np.int32).max else end - 1
        if axis != _axis(join) or step not in ([], [1]) or start > last:
            return False
        found = self._locate(join, start, last)
        if found is None:
            return False
        operand, shift = found
        node.replace_input_with(0, operand)
        node.replace_input_with(1, self._constant(node, 1, np.array([start + shift])))
        stop = _END if last + shift == -1 else min(last, _END - 1) + shift + 1
        node.replace_input_with(2, self._constant(node, 2, np.array([stop])))
        return True

    def split(self, node: ir.Node, join: ir.Node) -> bool:
        """Pieces that are whole operands are these; the node itself goes on reading the Concat."""
        sizes = self._ints(node, 1) if len(node.inputs) > 1 else None
        listed = node.attributes.get_ints("split") if sizes is None else sizes.tolist()
        if listed is None or node.attributes.get_int("axis", 0) != _axis(join):
            return False
        start = 0
        for piece, size in zip(node.outputs, listed, strict=True):
            found = self._locate(join, start, start + size - 1) if size else None
            if (
                found is not None
                and found[1] == -start
                and self._size(found[0], _axis(join)) == size
                and not piece.is_graph_output()
            ):
                piece.replace_all_uses_with(found[0])
            start += size
        return False

    def _locate(self, join: ir.Node, first: int, last: int) -> tuple[ir.Value, int] | None:
        """The operand in which places `first` to `last` lie, and what to add to a place to find it there.

        Negative places are counted from the end. Only the sizes of what is passed on the way are needed.
        """
        if (first < 0) != (last < 0):
            return None
        operands = [v for v in join.inputs if v is not None]
        order = operands if first >= 0 else operands[::-1]
        near, far = (first, last) if first >= 0 else (-1 - last, -1 - first)
        passed = 0
        for number, operand in enumerate(order, 1):  # the same may be joined several times
            size = None if number == len(order) else self._size(operand, _axis(join))
            if number < len(order) and size is None:
                return None
            if size is None or near < passed + size:
                inside = size is None or far < passed + size
                return (operand, -passed if first >= 0 else passed) if inside else None
            passed += size
        return None

    def _size(self, value: ir.Value, axis: int) -> int | None:
        """The size of an axis, if the graph itself tells."""
        if is_constant(value, self._version):
            assert value.const_value is not None
            shape = value.const_value.shape.numpy()
            return int(shape[axis]) if -len(shape) <= axis < len(shape) else None
        node = value.producer()
        if node is None or node.domain:
            return None
        if node.op_type in _DIRECTIONS and not node.attributes.get_int("layout", 0):
            along = _DIRECTIONS[node.op_type][node.outputs.index(value)]
            both = node.attributes.get_string("direction", "forward") == "bidirectional"
            return (2 if both else 1) if axis in (along, -3) else None
        if node.op_type == "Unsqueeze":
            return 1 if axis in self._unsqueezed(node) else None
        if node.op_type == "Concat" and _axis(node) == axis:
            sizes = [self._size(v, axis) for v in node.inputs if v is not None]
            return None if None in sizes else sum(s for s in sizes if s is not None)
        return None

    def _unsqueezed(self, node: ir.Node) -> Sequence[int]:
        given = self._ints(node, 1) if len(node.inputs) > 1 else None
        return node.attributes.get_ints("axes", ()) if given is None else given.tolist()

    def _ints(self, node: ir.Node, index: int) -> NDArray[Any] | None:
        value = node.inputs[index]
        if value is None or not is_constant(value, self._version):
            return None
        assert value.const_value is not None
        return np.asarray(value.const_value.numpy())

    def _constant(self, node: ir.Node, index: int, numbers: NDArray[Any]) -> ir.Value:
        """The places, in the type of those that they replace."""
        before = node.inputs[index]
        assert before is not None
        assert before.const_value is not None
        limit = np.iinfo(before.const_value.dtype.numpy())
        array = np.minimum(numbers, limit.max).astype(limit.dtype)
        name = fresh_name(f"{before.name}_in_operand", self._taken)
        tensor = ir.Tensor(array, name=name)
        made = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
        )
        self._graph.register_initializer(made)
        return made


def _axis(join: ir.Node) -> int:
    return join.attributes.get_int("axis", 1)


_BYPASS = {"Gather": _Reads.gather, "Slice": _Reads.slice, "Split": _Reads.split}
