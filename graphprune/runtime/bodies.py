"""Records the tensors inside bodies of If, Loop and Scan: each body is run once by itself.

What it reads from outside is fetched from a run of the whole model, so that it sees what it would see there
on its first turn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from graphprune.load.view import bodies_of
from graphprune.runtime.recording import Array, Recording, frozen
from graphprune.runtime.session import open_session

Values = Mapping[str, Array]


def has_bodies(graph: ir.Graph) -> bool:
    """True if any node has a body."""
    return any(True for node in graph for _ in bodies_of(node))


def read_from_outside(body: ir.Graph) -> list[ir.Value]:
    """Values that a body, or a body in it, reads from the graphs around it."""
    own = {id(v) for v in (*body.inputs, *body.initializers.values())}
    own |= {id(v) for node in body for v in node.outputs}
    found: dict[int, ir.Value] = {}
    for node in body:
        inner = [v for b in bodies_of(node) for v in read_from_outside(b)]
        found.update({id(v): v for v in (*node.inputs, *inner) if v is not None and id(v) not in own})
    found.update({id(v): v for v in body.outputs if v is not None and id(v) not in own})
    return list(found.values())


def as_model(body: ir.Graph, model: ir.Model, given: Values) -> ir.Model:
    """A body as a model of its own: what it reads from outside is an input, or an initializer."""
    copy = body.clone(allow_outer_scope_values=True)
    outside = read_from_outside(copy)
    inputs = list(copy.inputs)
    replaced: dict[ir.Value, ir.Value] = {}
    for value in outside:
        twin = ir.Value(name=value.name, type=value.type, shape=value.shape)
        if value.is_initializer() and value.const_value is not None:
            twin.const_value = value.const_value
            twin.type, twin.shape = (
                ir.TensorType(value.const_value.dtype),
                ir.Shape(value.const_value.shape.numpy()),
            )
            copy.register_initializer(twin)
        else:
            copy.inputs.append(twin)
            inputs.append(twin)
        replaced[value] = twin
    redirect(copy, replaced)
    for value in inputs:
        array = given.get(value.name or "")
        if array is not None:
            value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            value.shape = ir.Shape([None] * array.ndim)
    for value in copy.outputs:
        value.shape = None
    copy.opset_imports.clear()
    copy.opset_imports.update(model.graph.opset_imports)
    return ir.Model(copy, ir_version=max(8, model.ir_version))


def redirect(graph: ir.Graph, replaced: Mapping[ir.Value, ir.Value]) -> None:
    """Make the nodes and outputs of a graph, and of the bodies in it, read other values."""
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value is not None and value in replaced:
                node.replace_input_with(index, replaced[value])
        for body in bodies_of(node):
            redirect(body, replaced)
            for index, value in enumerate(body.outputs):
                if value in replaced:
                    body.outputs[index] = replaced[value]
    for index, value in enumerate(graph.outputs):
        if value in replaced:
            graph.outputs[index] = replaced[value]


def feeds_of(node: ir.Node, body: ir.Graph, values: Values) -> dict[str, Array]:
    """What a body is given on its first turn.

    Args:
        node: the If, Loop or Scan.
        body: one of its bodies.
        values: the tensors around it, by name.
    """
    feeds = {str(v.name): values[str(v.name)] for v in read_from_outside(body) if str(v.name) in values}
    outer = [None if v is None else values.get(str(v.name)) for v in node.inputs]
    inner = [str(v.name) for v in body.inputs]
    if node.op_type == "Loop":
        outer = [np.array(0, dtype=np.int64), np.array(True), *outer[2:]]
    elif node.op_type == "Scan":
        scans = node.attributes["num_scan_inputs"].as_int()
        states = len(outer) - scans
        axes = (
            node.attributes["scan_input_axes"].as_ints()
            if "scan_input_axes" in node.attributes
            else [0] * scans
        )
        slices = [
            None if a is None else np.take(a, 0, axis=x) for a, x in zip(outer[states:], axes, strict=True)
        ]
        outer = [*outer[:states], *slices]
    feeds.update({n: a for n, a in zip(inner, outer, strict=False) if a is not None})
    return feeds


def needed_values(graph: ir.Graph) -> list[ir.Value]:
    """Computed tensors that must be fetched to run the bodies of `graph`."""
    found: dict[int, ir.Value] = {}
    for node in graph:
        for body in bodies_of(node):
            for value in (*node.inputs, *read_from_outside(body)):
                if value is not None and value.producer() is not None:
                    found[id(value)] = value
    return list(found.values())


def fetch(model: ir.Model, wanted: Iterable[ir.Value], feeds: Iterable[Values]) -> list[dict[str, Array]]:
    """Values of computed tensors for each of the feeds."""
    copy = model.clone()
    names = {str(v.name) for v in wanted}
    present = {v.name for v in copy.graph.outputs}
    for node in copy.graph:
        for value in node.outputs:
            if value.name in names and value.name not in present:
                copy.graph.outputs.append(value)
    if not copy.graph.outputs or not names:
        return [{} for _ in feeds]
    with open_session(copy, optimise=False, lean=True) as session:
        return [session.run(f, sorted(names)) for f in feeds]


def merged(recording: Recording, others: Iterable[Recording]) -> Recording:
    """One recording of several graphs with distinct names."""
    names: dict[str, dict[str, Any]] = {
        k: dict(getattr(recording, k)) for k in ("shapes", "second", "values", "values_second")
    }
    shape_only = set(recording.shape_only)
    for other in others:
        for key, found in names.items():
            found.update({n: v for n, v in getattr(other, key).items() if n not in found})
        shape_only |= other.shape_only
    return dataclasses.replace(
        recording,
        shapes=frozen(names["shapes"]),
        second=frozen(names["second"]),
        values=frozen(names["values"]),
        values_second=frozen(names["values_second"]),
        shape_only=frozenset(shape_only),
    )
