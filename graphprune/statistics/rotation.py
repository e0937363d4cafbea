"""Turns residual streams into the basis of their principal components.

The turned model gives what the model gave: what writes into a stream is multiplied by the basis, what reads
it by its inverse, and norms measure the length of a row, which no rotation changes. What is gained: rows
vary a lot along the first channels and little along the last, and that a channel at zero is one that is not
there: means of squares become sums over a fixed number, scales and biases of norms move into their readers.
So a stream can be made narrower like anything else, exactly up to what is cut off. Source: Ashkboos et al.,
"SliceGPT", ICLR 2024; one basis for a stream here, so that nothing is added to its skips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import read_graph
from graphprune.normalise.dead import remove_dead
from graphprune.rewrite.editing import Editor
from graphprune.runtime.agreement import agree
from graphprune.statistics.stages import StageModel, run_stage
from graphprune.statistics.streams import Norm, Shapes, Stream, find_streams, joins, operands

Array = NDArray[Any]
Feeds = Mapping[str, Array]

_SHAPES = frozenset({"Shape", "Size"})
_ROWS = frozenset({"Gather", "Slice", "Identity", "Dropout"})


def rotated(model: ir.Model, shapes: Shapes, batches: Sequence[Feeds]) -> ir.Model | None:
    """A copy of a model with its residual streams in their principal components.

    Args:
        model: a normalised model; it is not changed.
        shapes: of every tensor, at some sizes of the free dimensions.
        batches: inputs.

    Returns:
        None if there is no such stream, or if the copy does not give the same outputs.
    """
    copy = model.clone()
    streams = find_streams(copy, shapes)
    bases = _bases(model, streams, batches)
    try:
        for stream, basis in zip(streams, bases, strict=True):
            _Turner(copy.graph, stream, basis, shapes).run()
    except _CannotTurn:
        return None
    if not streams:
        return None
    remove_dead(copy)
    return copy if agree(model, copy, batches[0]) else None


def _bases(model: ir.Model, streams: Sequence[Stream], batches: Sequence[Feeds]) -> list[Array]:
    """Principal components of the normalised rows of each stream, one in each column."""
    facts = read_graph(model)
    names = sorted({str(n.read.name) for s in streams for n in s.norms})
    sums = [np.zeros((s.width, s.width)) for s in streams]
    inside = [n.name for n in facts.nodes]
    made = {o for n in facts.nodes for o in n.outputs}
    seen = [n for n in names if n in made]
    for found in run_stage(StageModel(model, facts), inside, seen, {}, batches):
        for stream, total in zip(streams, sums, strict=True):
            for norm in stream.norms:
                rows = found[str(norm.read.name)].reshape(-1, stream.width).astype(np.float64)
                if stream.centred:
                    rows = rows - rows.mean(axis=1, keepdims=True)
                rows = rows / np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + 1e-12)
                total += rows.T @ rows / len(rows)
    found_bases = []
    for stream, total in zip(streams, sums, strict=True):
        if stream.centred:  # the direction of equal values is empty, and comes last
            total = total - np.full(total.shape, total.trace() / stream.width)
        found_bases.append(np.linalg.eigh(total)[1][:, ::-1])
    return found_bases


class _Turner:
    def __init__(self, graph: ir.Graph, stream: Stream, basis: Array, shapes: Shapes) -> None:
        self.graph, self.stream, self.shapes = graph, stream, shapes
        self.editor = Editor(graph)
        self.basis = basis
        self.into = basis - basis.mean(axis=0, keepdims=True) if stream.centred else basis
        self._turned: dict[ir.Value, ir.Value] = {}

    def run(self) -> None:
        for value in self.stream.tensors:
            self._leave(value)
        for norm in self.stream.norms:
            self._measure(norm)
        for value in self.stream.tensors:
            maker = value.producer()
            if maker is not None and joins(maker, self.stream.width, self.shapes):
                for operand in operands(maker):
                    if operand not in self.stream.tensors:
                        self._enter(operand, [(maker, k) for k, v in enumerate(maker.inputs) if v is operand])
            else:
                self._enter(value, [u for u in value.uses() if u[0] not in self._own])

    # -- what writes ----------------------------------------------------------------------------

    def _enter(self, value: ir.Value, uses: Sequence[tuple[ir.Node, int]]) -> None:
        """Turn what comes from outside, in the weight that makes it where that is possible."""
        turned = self._turned.get(value)
        if turned is None:
            turned = self._turned[value] = self._written(value, len(uses))
        if turned is not value:
            for node, place in uses:
                node.replace_input_with(place, turned)

    def _written(self, value: ir.Value, uses: int) -> ir.Value:
        if value.const_value is not None:
            return self._constant(value.const_value.numpy() @ self.into, f"{value.name}_turned", value)
        node = value.producer()
        alone = len(value.uses()) == uses and not value.is_graph_output()
        if node is not None and alone and not node.domain:
            if node.op_type == "MatMul" and (weight := _stored(node.inputs[1])) is not None:
                self._give(node, 1, weight @ self.into)
                return value
            if node.op_type == "Gemm" and (weight := _stored(node.inputs[1])) is not None:
                bias = _stored(node.inputs[2]) if len(node.inputs) > 2 else None
                if bias is not None or len(node.inputs) < 3:
                    back = _flag(node, "transB")
                    self._give(node, 1, (weight.T @ self.into).T if back else weight @ self.into)
                    if bias is not None:
                        self._give(node, 2, np.broadcast_to(bias, (self.stream.width,)) @ self.into)
                    return value
            rows = _stored(node.inputs[0]) if node.op_type == "Expand" else None
            if rows is not None and rows.ndim and rows.shape[-1] == self.stream.width:
                self._give(node, 0, rows @ self.into)
                return value
            if node.op_type == "Gather" and (table := _stored(node.inputs[0])) is not None:
                axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
                if table.ndim == 2 and axis == 0:
                    self._give(node, 0, table @ self.into)
                    return value
        matrix = self._constant(self.into, "basis", value)
        if node is None:
            return self.editor.node("MatMul", [value, matrix], "turned", self.graph[0])
        return self.editor.node_after("MatMul", [value, matrix], "turned", node).outputs[0]

    # -- what reads -----------------------------------------------------------------------------

    @property
    def _own(self) -> set[ir.Node]:
        return {n.core for n in self.stream.norms if n.mean is None}

    def _leave(self, value: ir.Value) -> None:
        """Whatever is no norm and no sum reads the stream as it was."""
        inside = {n.core for n in self.stream.norms}
        for norm in self.stream.norms:
            if norm.mean is not None and norm.mean.inputs[0] is not None:
                inside.add(norm.mean.inputs[0].producer())  # type: ignore[arg-type]
        others = [
            (node, place)
            for node, place in value.uses()
            if node not in inside
            and not (joins(node, self.stream.width, self.shapes) and node.outputs[0] in self.stream.tensors)
            and node.op_type not in _SHAPES
        ]
        if others or value.is_graph_output():
            raise _CannotTurn

    def _measure(self, norm: Norm) -> None:
        """Divide by the length of a row, and move scale and bias into the readers."""
        width = self.stream.width
        if norm.mean is not None:
            mean = norm.mean
            part = self._constant(np.array(1 / width), "share", norm.read)
            axes = self.editor.constant(np.array([-1], np.int64), "last")
            square = mean.inputs[0]
            assert square is not None
            total = self.editor.node("ReduceSum", [square, axes], f"{mean.name}_sum", mean, keepdims=1)
            share = self.editor.node("Mul", [total, part], f"{mean.name}_share", mean)
            self._replace(mean.outputs[0], share)
            normal = norm.core.outputs[0]
        else:
            normal = self._written_out(norm)
        self._read_all(norm, norm.given, normal)

    def _written_out(self, norm: Norm) -> ir.Value:
        node, read, name = norm.core, norm.read, str(norm.core.name)
        part = self._constant(np.array(1 / self.stream.width), "share", read)
        epsilon = self._constant(np.array(norm.epsilon), "epsilon", read)
        axes = self.editor.constant(np.array([-1], np.int64), "last")
        square = self.editor.node("Mul", [read, read], f"{name}_square", node)
        total = self.editor.node("ReduceSum", [square, axes], f"{name}_sum", node, keepdims=1)
        share = self.editor.node("Mul", [total, part], f"{name}_share", node)
        added = self.editor.node("Add", [share, epsilon], f"{name}_added", node)
        root = self.editor.node("Sqrt", [added], f"{name}_root", node)
        return self.editor.node("Div", [read, root], f"{name}_normal", node)

    def _read_all(self, norm: Norm, given: ir.Value, normal: ir.Value) -> None:
        """Let all readers of what a norm gives, or of some of its rows, read the turned rows."""
        if given.is_graph_output():
            raise _CannotTurn
        for node, place in list(given.uses()):
            if node.op_type in _SHAPES:
                node.replace_input_with(place, normal)
            elif node.op_type in _ROWS and place == 0 and joins(node, self.stream.width, self.shapes):
                node.replace_input_with(0, normal)
                self._read_all(norm, node.outputs[0], node.outputs[0])
            else:
                self._read(norm, normal, node, place)

    def _read(self, norm: Norm, normal: ir.Value, node: ir.Node, place: int) -> None:
        """Let a reader of a norm read the turned rows."""
        scale = np.ones(self.stream.width) if norm.scale is None else _wanted(norm.scale)
        shift = np.zeros(self.stream.width) if norm.bias is None else _wanted(norm.bias)
        back = self.basis.T * scale
        weight = _computed(node.inputs[1]) if node.op_type == "MatMul" and place == 0 else None
        if weight is not None and weight.ndim == 2:
            node.replace_input_with(0, normal)
            self._give(node, 1, back @ weight)
            self._shift(node.outputs[0], shift @ weight)
            return
        if node.op_type == "Gemm" and place == 0 and not _flag(node, "transA"):
            weight, turned = _stored(node.inputs[1]), _flag(node, "transB")
            bias = _stored(node.inputs[2]) if len(node.inputs) > 2 else None
            if weight is not None and (bias is not None or not shift.any()):
                node.replace_input_with(0, normal)
                self._give(node, 1, weight @ back.T if turned else back @ weight)
                if bias is not None:
                    more = weight @ shift if turned else shift @ weight
                    self._give(node, 2, bias + more * _number(node, "alpha") / _number(node, "beta"))
                return
        matrix = self._constant(back, "basis", norm.read)
        seen = self.editor.node("MatMul", [normal, matrix], "seen", node)
        if shift.any():
            seen = self.editor.node("Add", [seen, self._constant(shift, "shift", norm.read)], "seen", node)
        node.replace_input_with(place, seen)

    def _shift(self, value: ir.Value, by: Array) -> None:
        """Add a constant to what a reader gives, in the bias behind it if there is one."""
        if not by.any():
            return
        uses = list(value.uses())
        if len(uses) == 1 and uses[0][0].op_type == "Add" and not value.is_graph_output():
            add, place = uses[0]
            bias = _stored(add.inputs[1 - place])
            if bias is not None and bias.ndim == 1:
                self._give(add, 1 - place, bias + by)
                return
        maker = value.producer()
        assert maker is not None
        shift = self._constant(by, "shift", self.stream.norms[0].read)
        added = self.editor.node_after("Add", [value, shift], f"{value.name}_shifted", maker).outputs[0]
        self._replace(value, added)

    # -- editing --------------------------------------------------------------------------------

    def _replace(self, old: ir.Value, new: ir.Value) -> None:
        """Let everybody but the node that makes `new` read that; outputs keep their names."""
        for node, place in list(old.uses()):
            if node is not new.producer():
                node.replace_input_with(place, new)
        for place, output in enumerate(self.graph.outputs):
            if output is old:
                name = str(old.name)
                new.type, new.shape = old.type, old.shape
                self.graph.outputs[place] = new
                old.name = self.editor.unique(f"{name}_before")
                new.name = name

    def _give(self, node: ir.Node, place: int, array: Array) -> None:
        old = node.inputs[place]
        assert old is not None
        node.replace_input_with(place, self._constant(array, f"{old.name}_turned", old))

    def _constant(self, array: Array, name: str, like: ir.Value) -> ir.Value:
        dtype = like.const_value.dtype.numpy() if like.const_value is not None else np.float32
        return self.editor.constant(np.asarray(array).astype(dtype), name)


class _CannotTurn(Exception):
    """Something reads the stream that would have to see it as it was."""


def _flag(node: ir.Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].as_int())


def _number(node: ir.Node, name: str) -> float:
    return node.attributes[name].as_float() if name in node.attributes else 1.0


def _stored(value: ir.Value | None) -> Array | None:
    """The value of an initializer, in double precision."""
    if value is None or value.const_value is None:
        return None
    array = value.const_value.numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else None


def _wanted(value: ir.Value) -> Array:
    array = _stored(value)
    assert array is not None
    return array


def _computed(value: ir.Value | None) -> Array | None:
    """The value of an initializer, or of one that is transposed."""
    stored = _stored(value)
    if stored is not None or value is None:
        return stored
    node = value.producer()
    if node is None or node.op_type != "Transpose":
        return None
    inner = _stored(node.inputs[0])
    if inner is None:
        return None
    return np.transpose(inner, node.attributes["perm"].as_ints() if "perm" in node.attributes else None)
