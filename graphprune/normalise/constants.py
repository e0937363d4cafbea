"""Constant nodes of the main graph become initializers: one place to look for weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from graphprune.load.tensors import renamed

if TYPE_CHECKING:
    from onnx_ir import TensorProtocol


def constant_value(node: ir.Node, name: str) -> TensorProtocol | None:
    """Returns the tensor called `name` that a Constant node holds; None for a form that is not known."""
    if len(node.attributes) != 1:
        return None
    (attribute,) = node.attributes.values()
    if attribute.is_ref():
        return None
    match attribute.name:
        case "value":
            return renamed(attribute.value, name)  # as_tensor() would check it against a protocol: slow
        case "value_int":
            return ir.Tensor(np.array(attribute.as_int(), np.int64), name=name)
        case "value_ints":
            return ir.Tensor(np.array(attribute.as_ints(), np.int64), name=name)
        case "value_float":
            return ir.Tensor(np.array(attribute.as_float(), np.float32), name=name)
        case "value_floats":
            return ir.Tensor(np.array(attribute.as_floats(), np.float32), name=name)
        case "value_string":
            return ir.StringTensor([_encoded(attribute.value)], shape=ir.Shape(()), name=name)
        case "value_strings":
            texts = [_encoded(text) for text in attribute.as_strings()]
            return ir.StringTensor(texts, shape=ir.Shape((len(texts),)), name=name)
    return None


def lift_constants(model: ir.Model) -> None:
    """Makes each Constant node of the main graph an initializer of the same name, in place.

    One that is a graph output stays a node.
    """
    for node in model.graph:
        if node.domain or node.op_type != "Constant" or node.outputs[0].is_graph_output():
            continue
        name = node.outputs[0].name
        if name and (tensor := constant_value(node, name)) is not None:
            become_initializer(node.outputs[0], tensor)
            model.graph.remove(node, safe=True)


def become_initializer(value: ir.Value, tensor: TensorProtocol) -> ir.Value:
    """Returns a new initializer with the name of `value`, which must be a node's output, and all its uses."""
    graph = value.graph
    if graph is None or value.name is None:
        raise ValueError(f"value {value.name!r} is in no graph")
    constant = ir.Value(
        name=value.name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(tensor.shape.numpy()),
        doc_string=value.doc_string,
        const_value=tensor,
        metadata_props=dict(value.metadata_props),
    )
    constant.meta.update(value.meta)
    value.replace_all_uses_with(constant)
    graph.register_initializer(constant)
    return constant


def is_constant(value: ir.Value, ir_version: int) -> bool:
    """Whether a value of the main graph is an initializer that a caller cannot override.

    Below IR version 4 every initializer is listed as an input; from then on being listed means that the
    caller may give another value.
    """
    return value.is_initializer() and value.const_value is not None and not (
        ir_version >= 4 and value.is_graph_input()
    )  # fmt: skip


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")
