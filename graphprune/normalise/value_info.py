"""Declared shapes of intermediate values: exporters ship wrong ones, so none is believed."""

from __future__ import annotations

import onnx_ir as ir


def drop_value_info(model: ir.Model) -> None:
    """Forgets the shape of every value that is no graph input or output, in place; known types stay.

    Initializers get the shape and type of their data.
    """
    for graph in (model.graph, *model.graph.subgraphs()):
        for node in graph:
            for value in node.outputs:
                if not value.is_graph_output():
                    value.shape = None
        for value in graph.initializers.values():
            if value.const_value is not None and not value.is_graph_input() and not value.is_graph_output():
                value.shape = ir.Shape(value.const_value.shape.numpy())
                value.type = ir.TensorType(value.const_value.dtype)
