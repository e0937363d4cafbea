"""Brings tensors out of the bodies of If, Loop and Scan, so that a run of a model shows them.

A Loop and a Scan give the values of all turns, stacked; the branch of an If that did not run gives an empty
tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graphprune.load.view import bodies_of

_PREFIX = "graphprune.inside."


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a tensor that is wanted: its element type and how many axes it has."""

    dtype: ir.DataType
    rank: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A tensor that was brought out.

    Attributes:
        output: of the model, that holds it.
        turns: how many axes of turns are in front.
        nested: whether it was in a body in the body of a loop, and may have another shape in another turn.
    """

    output: str
    turns: int
    nested: bool


def show_inside(model: ir.Model, wanted: Mapping[str, Kind], *, ragged: bool = True) -> dict[str, Shown]:
    """Make outputs of tensors inside bodies, in place.

    Args:
        model: a model with unique tensor names.
        wanted: those tensors; such that are not inside a body are left out.
        ragged: bring out of a loop also what a body in its body holds, although no run succeeds in which that
            has another shape in another turn (a branch that runs now and then, an inner loop of changing
            length).

    Returns:
        Those that were found.
    """
    found: dict[str, Shown] = {}
    for node in list(model.graph):
        for name, (value, turns, nested) in _carried(node, wanted, ragged).items():
            value.name = f"{_PREFIX}{len(found)}"
            model.graph.outputs.append(value)
            found[name] = Shown(value.name, turns, nested)
    return found


_Carried = tuple[ir.Value, int, bool]  # the value, how many axes of turns it has, whether it is nested


def _carried(node: ir.Node, wanted: Mapping[str, Kind], ragged: bool) -> dict[str, _Carried]:
    """New outputs of a node for what is wanted in its bodies."""
    found: dict[str, _Carried] = {}
    bodies = list(bodies_of(node))
    again = node.op_type in ("Loop", "Scan")
    for body in bodies:
        for name, (value, turns, nested) in _wanted_in(body, wanted, again, ragged).items():
            for other in bodies:
                other.outputs.append(
                    _passed(other, value) if other is body else _empty(other, wanted[name], turns)
                )
            if node.op_type == "Scan":
                _stacked_in_front(node)
            node.resize_outputs(len(node.outputs) + 1)
            result = node.outputs[-1]
            result.name = f"{_PREFIX}{node.name}.{len(node.outputs)}"
            found[name] = (result, turns + again, nested)
    return found


def _wanted_in(body: ir.Graph, wanted: Mapping[str, Kind], again: bool, ragged: bool) -> dict[str, _Carried]:
    """What is wanted of a body: its inputs, its tensors, and what the bodies in it carry out."""
    found: dict[str, _Carried] = {str(v.name): (v, 0, False) for v in body.inputs if v.name in wanted}
    for node in list(body):
        own = [v for v in node.outputs if v.name in wanted]
        if ragged or not again:
            inner = _carried(node, wanted, ragged).items()
            found |= {name: (value, turns, nested or again) for name, (value, turns, nested) in inner}
        found |= {str(v.name): (v, 0, False) for v in own}
    return found


def _passed(body: ir.Graph, value: ir.Value) -> ir.Value:
    """The value under a name of its own: a body may not give one tensor twice, nor an input as it is."""
    node = ir.node("Identity", [value])
    body.append(node)
    node.outputs[0].name = f"{_PREFIX}{body.name}.{len(body.outputs)}"
    node.outputs[0].type = value.type
    return node.outputs[0]


def _empty(body: ir.Graph, kind: Kind, turns: int) -> ir.Value:
    """What the other branch gives: nothing, in as many axes."""
    nothing = ir.tensor(np.zeros((0,) * (kind.rank + turns), kind.dtype.numpy()))
    node = ir.node("Constant", [], {"value": nothing})
    body.append(node)
    node.outputs[0].name = f"{_PREFIX}{body.name}.{len(body.outputs)}"
    return node.outputs[0]


def _stacked_in_front(node: ir.Node) -> None:
    """Say the same of a Scan's new result as is the default: stacked along the first axis, in order."""
    for name in ("scan_output_axes", "scan_output_directions"):
        if name in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, [*node.attributes[name].as_ints(), 0])
