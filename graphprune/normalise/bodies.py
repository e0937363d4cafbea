"""Bodies of If, Loop and Scan share the main graph's store of weights, and every name is unique."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from graphprune.load.view import bodies_of
from graphprune.normalise.constants import constant_value
from graphprune.normalise.names import fresh_name, own_values


def open_bodies(model: ir.Model) -> None:
    """Moves the constants of all bodies to the main graph and makes every name unique, in place.

    A constant that a body gives back as its output stays where it is.
    """
    taken = {value.name for value in own_values(model.graph) if value.name}
    nodes = {node.name for node in model.graph if node.name}
    for body in tuple(all_bodies(model.graph)):
        _unique_names(body, taken, nodes)
        _lift(body, model.graph)


def all_bodies(graph: ir.Graph) -> Iterator[ir.Graph]:
    """Every body below `graph`, outer ones first."""
    for node in graph:
        for body in bodies_of(node):
            yield body
            yield from all_bodies(body)


def _unique_names(body: ir.Graph, taken: set[str], nodes: set[str]) -> None:
    for value in own_values(body):
        value.name = fresh_name(value.name or "value", taken)
    for node in body:
        node.name = fresh_name(node.name or node.op_type, nodes)


def _lift(body: ir.Graph, main: ir.Graph) -> None:
    for name, value in tuple(body.initializers.items()):
        if value.const_value is not None and not value.is_graph_output() and not value.is_graph_input():
            del body.initializers[name]
            _register(value, value.const_value, main)
    for node in tuple(body):
        if node.domain or node.op_type != "Constant" or node.outputs[0].is_graph_output():
            continue
        name = node.outputs[0].name or ""
        if (tensor := constant_value(node, name)) is not None:
            _register(node.outputs[0], tensor, main)
            body.remove(node, safe=True)


def _register(value: ir.Value, tensor: ir.TensorProtocol, main: ir.Graph) -> None:
    constant = ir.Value(
        name=value.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        const_value=tensor,
    )
    value.replace_all_uses_with(constant)
    main.register_initializer(constant)
