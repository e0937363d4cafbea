"""Every tensor of a model, and copies of a tensor that share its data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import onnx_ir as ir

if TYPE_CHECKING:
    from onnx_ir import TensorProtocol


def all_graphs(model: ir.Model) -> Iterator[ir.Graph]:
    """Yields the main graph, the graph of each function, and every body inside them."""
    for root in (model.graph, *(function.graph for function in model.functions.values())):
        yield root
        yield from root.subgraphs()


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Yields the nodes of `all_graphs`, in the order of each graph."""
    for graph in all_graphs(model):
        yield from graph


def all_tensors(model: ir.Model) -> Iterator[tuple[str, TensorProtocol]]:
    """Yields each tensor with words for where it is: initializers first, then attributes."""
    for graph in all_graphs(model):
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                yield f"initializer '{name}'", value.const_value
        for node in graph:
            for attribute in node.attributes.values():
                for tensor in _attribute_tensors(attribute):
                    yield f"attribute '{attribute.name}' of {describe(node)}", tensor


def replace_tensors(model: ir.Model, replacement: Callable[[TensorProtocol, str], TensorProtocol]) -> None:
    """Puts `replacement(tensor, name)` in the place of every tensor; `name` is the one it must carry."""
    for graph in all_graphs(model):
        for name, value in graph.initializers.items():
            if value.const_value is not None:
                value.const_value = replacement(value.const_value, name)
        for node in graph:
            for attribute in tuple(node.attributes.values()):
                if _attribute_tensors(attribute):
                    node.attributes[attribute.name] = _replace_in(attribute, replacement)


def external_tensors(model: ir.Model) -> tuple[ir.ExternalTensor, ...]:
    """Returns the tensors whose data is in another file."""
    return tuple(tensor for _, tensor in all_tensors(model) if isinstance(tensor, ir.ExternalTensor))


def weight_bytes(model: ir.Model) -> int:
    """Returns the bytes of all tensor data; nothing is read or computed for it."""
    return sum(tensor.nbytes for _, tensor in all_tensors(model))


def needed_bytes(tensor: TensorProtocol) -> int:
    """Returns the bytes that the shape and type of a tensor ask for, packed as ONNX packs them."""
    return math.ceil(math.prod(tensor.shape.numpy()) * tensor.dtype.bitwidth / 8)


def renamed(tensor: TensorProtocol, name: str) -> TensorProtocol:
    """Returns the same data as an object of its own called `name`.

    Writing a model sets the name of its tensors, so values that share one tensor object would rename
    each other's, and the caller's too.
    """
    metadata, shape = dict(tensor.metadata_props), ir.Shape(tensor.shape.numpy())
    if isinstance(tensor, ir.ExternalTensor):
        return ir.ExternalTensor(
            tensor.location,
            tensor.offset,
            tensor.length,
            tensor.dtype,
            shape=shape,
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=metadata,
            base_dir=tensor.base_dir,
        )
    if isinstance(tensor, ir.StringTensor):
        return ir.StringTensor(
            tensor.string_data(),
            shape=shape,
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=metadata,
        )
    if type(tensor) is ir.Tensor:  # subclasses, like torch's, know better how to read their data
        return ir.Tensor(
            tensor.raw,
            tensor.dtype,
            shape=shape,
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=metadata,
        )
    read = tensor.raw if isinstance(tensor, ir.LazyTensor) and not tensor.cache else lambda: tensor
    return ir.LazyTensor(
        read, tensor.dtype, shape, name=name, doc_string=tensor.doc_string, metadata_props=metadata
    )


def inlined(tensor: TensorProtocol, name: str) -> TensorProtocol:
    """Returns the tensor such that writing a model puts its data into the model file."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    return ir.LazyTensor(
        lambda: tensor,
        tensor.dtype,
        ir.Shape(tensor.shape.numpy()),
        name=name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )


def tofile(tensor: TensorProtocol, file: BinaryIO) -> None:
    """Writes the bytes of a tensor, in pieces where the tensor knows how."""
    write = getattr(tensor, "tofile", None)
    if write is not None:
        write(file)
    else:
        file.write(tensor.tobytes())


def describe(node: ir.Node) -> str:
    """Returns words for a node, whether or not it has a name."""
    if node.name:
        return f"{node.op_type} '{node.name}'"
    made = next((output.name for output in node.outputs if output.name), None)
    return f"the unnamed {node.op_type} that makes '{made}'" if made else f"an unnamed {node.op_type}"


def _attribute_tensors(attribute: ir.Attr) -> tuple[TensorProtocol, ...]:
    if attribute.is_ref():
        return ()
    # Not as_tensor(): it checks the value against a protocol each time, half the time of copying a model.
    if attribute.type == ir.AttributeType.TENSOR:
        return (attribute.value,)
    return tuple(attribute.value) if attribute.type == ir.AttributeType.TENSORS else ()


def _replace_in(attribute: ir.Attr, replacement: Callable[[TensorProtocol, str], TensorProtocol]) -> ir.Attr:
    new = [replacement(tensor, tensor.name or "") for tensor in _attribute_tensors(attribute)]
    value = new[0] if attribute.type == ir.AttributeType.TENSOR else new
    return ir.Attr(attribute.name, attribute.type, value, doc_string=attribute.doc_string)
