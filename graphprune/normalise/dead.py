"""Nodes and initializers that nothing needs."""

from __future__ import annotations

import onnx_ir as ir

from graphprune.load.view import bodies_of


def remove_dead(model: ir.Model, *, inside: bool = False) -> None:
    """Removes nodes that no output depends on, and unused initializers, in place.

    An initializer that is listed as a graph input stays: removing it would change how the model is called.
    So do outputs of other nodes that nobody reads: a runtime may want them where other inputs are given.

    Args:
        model: the model.
        inside: look for nodes in bodies too, not in the main graph alone.
    """
    graph = model.graph
    _remove_nodes(graph, inside)
    for name, value in tuple(graph.initializers.items()):
        if not (value.uses() or value.is_graph_input() or value.is_graph_output()):
            del graph.initializers[name]


def _remove_nodes(graph: ir.Graph, inside: bool) -> None:
    for node in reversed(graph):
        if node.outputs and not any(value.uses() or value.is_graph_output() for value in node.outputs):
            _detach_bodies(node)
            graph.remove(node, safe=True)
        elif inside:
            for body in bodies_of(node):
                _remove_nodes(body, inside)


def _detach_bodies(node: ir.Node) -> None:
    """Lets the bodies of a node forget what they read, so that it can be dead too."""
    for body in bodies_of(node):
        for inner in body:
            _detach_bodies(inner)
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
