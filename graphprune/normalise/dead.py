"""Nodes and initializers that nothing needs."""

from __future__ import annotations

import onnx_ir as ir

from graphprune.load.view import bodies_of


def remove_dead(model: ir.Model) -> None:
    """Removes nodes of the main graph that no output depends on, and unused initializers, in place.

    An initializer that is listed as a graph input stays: removing it would change how the model is called.
    """
    graph = model.graph
    for node in reversed(graph):
        if node.outputs and not any(value.uses() or value.is_graph_output() for value in node.outputs):
            _detach_bodies(node)
            graph.remove(node, safe=True)
    for name, value in tuple(graph.initializers.items()):
        if not (value.uses() or value.is_graph_input() or value.is_graph_output()):
            del graph.initializers[name]


def _detach_bodies(node: ir.Node) -> None:
    """Lets the bodies of a node forget what they read, so that it can be dead too."""
    for body in bodies_of(node):
        for inner in body:
            _detach_bodies(inner)
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
