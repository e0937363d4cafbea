"""IR version 3: an initializer must also be a graph input there, so constants of our own become nodes."""

from __future__ import annotations

import onnx_ir as ir

from graphprune.load.tensors import renamed


def lower_constants(model: ir.Model) -> None:
    """Turns each initializer that is no graph input into a Constant node, in place; only below IR version 4.

    Listing it as an input instead would change how the model is called.
    """
    if model.ir_version >= 4:
        return
    graph = model.graph
    nodes = []
    for value in [value for value in graph.initializers.values() if not value.is_graph_input()]:
        if value.const_value is None or value.name is None or value.is_graph_output():
            continue
        tensor = renamed(value.const_value, value.name)
        del graph.initializers[value.name]
        made = ir.Value(name=value.name, type=value.type, shape=value.shape)
        value.replace_all_uses_with(made)
        nodes.append(ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], outputs=[made], name=""))
    if nodes and len(graph):
        graph.insert_before(graph[0], nodes)
