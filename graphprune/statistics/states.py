"""Gives recurrent operators the output that holds all their states, where only the last one is read.

Their recurrent weights read these states, so that scores and repairs need them; operators compute them
anyway. When all is done the output is taken away again.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from graphprune.rewrite.editing import Editor
from graphprune.runtime.recording import Recording, Shapes, frozen

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


def open_states(model: ir.Model, recording: Recording) -> tuple[ir.Model, Recording, frozenset[str]]:
    """A copy of a model in which every recurrent operator of the main graph gives all its states.

    Args:
        model: a normalised model.
        recording: of its tensors.

    Returns:
        The copy, or the model itself where nothing is lacking; the recording of its tensors, and the names of
        the new ones.
    """
    if not any(_lacks(n) for n in model.graph):
        return model, recording, frozenset()
    copy = model.clone()
    editor = Editor(copy.graph)
    shapes, second = dict(recording.shapes), dict(recording.second)
    made: set[str] = set()
    for node in copy.graph:
        if not _lacks(node):
            continue
        sizes = [_states(node, found) for found in (shapes, second)]
        if node.attributes.get_int("layout", 0) or not all(sizes):
            continue
        name = node.outputs[0].name = editor.unique(f"{node.name}_states")
        shapes[name], second[name] = sizes
        made.add(name)
    return copy, dataclasses.replace(recording, shapes=frozen(shapes), second=frozen(second)), frozenset(made)


def _lacks(node: ir.Node) -> bool:
    """Whether an operator is recurrent and does not give all its states."""
    return not node.domain and node.op_type in _RECURRENT and not node.outputs[0].name


def _states(node: ir.Node, shapes: Shapes) -> tuple[int, ...]:
    """The shape of all states, `(steps, directions, batch, hidden)`; empty where it is not known."""
    x, weight = (
        shapes.get(str(v.name), ()) if v is not None else () for v in (node.inputs[0], node.inputs[2])
    )
    return (x[0], weight[0], x[1], weight[2]) if len(x) == len(weight) == 3 else ()


def close_states(model: ir.Model, names: frozenset[str]) -> None:
    """Take away the outputs that were opened; nothing reads them."""
    for value in (v for node in model.graph for v in node.outputs):
        if value.name in names:
            value.name = ""
