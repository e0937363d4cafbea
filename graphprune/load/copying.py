"""A copy of a model that shares nothing with the original but the weights' data."""

from __future__ import annotations

import onnx_ir as ir

from graphprune.load.tensors import renamed, replace_tensors


def copy_model(model: ir.Model) -> ir.Model:
    """Returns a copy; its nodes, values and tensor objects are new, the tensors' data is shared by reference.

    The nodes of `model` must be in topological order.
    """
    copy = model.clone()
    copy.meta.update(model.meta)
    replace_tensors(copy, renamed)
    for graph in (copy.graph, *copy.graph.subgraphs()):
        for value in (*graph.inputs, *graph.initializers.values(), *(o for n in graph for o in n.outputs)):
            if isinstance(
                value.type, ir.TensorType
            ):  # clone() shares these, and setting a dtype changes them
                value.type = ir.TensorType(value.type.dtype, denotation=value.type.denotation)
    return copy
