"""Gives every linear operator a bias, at zero, so that a repair has somewhere to put a constant."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphprune.rewrite.editing import Editor
from graphprune.runtime.recording import Recording, frozen
from graphprune.statistics.linear import Linear

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def open_biases(
    model: ir.Model, recording: Recording, linear: Sequence[Linear]
) -> tuple[ir.Model, Recording, frozenset[str]]:
    """A copy of a model in which the operators that can have a bias have one.

    Args:
        model: a normalised model.
        recording: of its tensors.
        linear: its linear operators.

    Returns:
        The copy, the recording of its tensors, and the names of the new initializers, all zero.
    """
    copy = model.clone()
    editor = Editor(copy.graph)
    shapes, second = dict(recording.shapes), dict(recording.second)
    made: set[str] = set()
    for item in (use for first in linear for use in first.uses):
        if item.bias or item.place == "":
            continue
        node = editor.nodes[item.node]
        dtype = copy.graph.initializers[item.weight].const_value
        if dtype is None or not dtype.dtype.is_floating_point():
            continue
        if isinstance(item.place, int):
            if item.place < len(node.inputs) and node.inputs[item.place] is not None:
                continue  # there is one, but not of its own
            zeros = np.zeros(_bias_shape(node.op_type, item), dtype.dtype.numpy())
            value = editor.constant(zeros, f"{item.weight}_bias")
            editor.set_input(node, item.place, value)
        else:
            sizes = item.layout.trailing(item.shape)
            if not sizes:
                continue
            zeros = np.zeros(sizes, dtype.dtype.numpy())
            value = editor.constant(zeros, f"{item.weight}_bias")
            result = node.outputs[0]
            name = str(result.name)
            result.name = editor.unique(f"{name}_product")
            readers = list(result.uses())
            add = editor.node_after("Add", [result, value], f"{item.node}_bias", node)
            for reader, index in readers:
                reader.replace_input_with(index, add.outputs[0])
            for place, output in enumerate(copy.graph.outputs):
                if output is result:
                    add.outputs[0].type, add.outputs[0].shape = output.type, output.shape
                    copy.graph.outputs[place] = add.outputs[0]
            add.outputs[0].name = name
            for found in (shapes, second):
                if name in found:
                    found[str(result.name)] = found[name]
        shapes[str(value.name)] = second[str(value.name)] = zeros.shape
        made.add(str(value.name))
    return copy, dataclasses.replace(recording, shapes=frozen(shapes), second=frozen(second)), frozenset(made)


def _bias_shape(op: str, item: Linear) -> tuple[int, ...]:
    if op in _GATES:
        return (item.shape[0], 2 * item.shape[1])
    if op == "ConvTranspose":
        return (item.shape[1] * item.layout.group,)  # type: ignore[attr-defined]
    return item.layout.trailing(item.shape) or item.shape[:1]


def drop_zero_biases(model: ir.Model, names: frozenset[str]) -> int:
    """Take out those of the opened biases that are still zero, and return how many numbers that were."""
    graph = model.graph
    dropped = 0
    for name in sorted(names):
        value = graph.initializers.get(name)
        if value is None or value.const_value is None or np.any(value.const_value.numpy()):
            continue
        for node, index in list(value.uses()):
            if node.op_type == "Add" and index == 1:
                inner, outer = node.inputs[0], node.outputs[0]
                assert inner is not None
                kept = str(outer.name)
                for place, output in enumerate(graph.outputs):
                    if output is outer:
                        inner.type, inner.shape = outer.type, outer.shape
                        graph.outputs[place] = inner
                for reader, at in list(outer.uses()):
                    reader.replace_input_with(at, inner)
                graph.remove(node, safe=True)
                inner.name = kept
            else:
                node.replace_input_with(index, None)
                _trim(node)
        dropped += value.const_value.size
        del graph.initializers[name]
    return dropped


def _trim(node: ir.Node) -> None:
    """Leave no missing operand at the end: the runtime's optimisers take three operands for a bias."""
    count = len(node.inputs)
    while count and node.inputs[count - 1] is None:
        count -= 1
    node.resize_inputs(count)
