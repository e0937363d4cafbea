"""Sparse tensors to dense ones, on the proto: onnx_ir drops the former without a word."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from graphprune.errors import ModelError
from graphprune.load.proto_walk import all_graphs, all_nodes

_LIMIT_BYTES = 2**31 - 1


def has_sparse(model: onnx.ModelProto) -> bool:
    """Whether any graph has a sparse initializer, or any node a sparse attribute."""
    return any(graph.sparse_initializer for graph in all_graphs(model)) or any(
        attribute.HasField("sparse_tensor") for node in all_nodes(model) for attribute in node.attribute
    )


def densify(model: onnx.ModelProto, folder: Path | None) -> None:
    """Makes every sparse initializer and every sparse Constant of `model` dense, in place.

    Args:
        model: Changed in place.
        folder: Where external data lies.

    Raises:
        ModelError: The indices do not fit the shape, or the dense tensor would pass 2 GB.
    """
    for graph in all_graphs(model):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse, folder))
        graph.ClearField("sparse_initializer")
    for node in all_nodes(model):
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "sparse_value":
                _densify_attribute(attribute, folder)
            elif attribute.HasField("sparse_tensor"):
                raise ModelError(
                    f"attribute '{attribute.name}' of {node.op_type} '{node.name}' is a sparse tensor, which "
                    "only a Constant may have; store it dense and load the model again."
                )


def _densify_attribute(attribute: onnx.AttributeProto, folder: Path | None) -> None:
    dense = _dense(attribute.sparse_tensor, folder)
    attribute.ClearField("sparse_tensor")
    attribute.name = "value"
    attribute.type = onnx.AttributeProto.TENSOR
    attribute.t.CopyFrom(dense)


def _dense(sparse: onnx.SparseTensorProto, folder: Path | None) -> onnx.TensorProto:
    name = sparse.values.name
    base = str(folder) if folder else ""
    try:
        values = numpy_helper.to_array(sparse.values, base)
        if math.prod(sparse.dims) * values.itemsize > _LIMIT_BYTES:
            raise ModelError(
                f"sparse tensor '{name}' of shape {tuple(sparse.dims)} would pass 2 GB when stored dense; "
                "sparse tensors of that size are not supported."
            )
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        indices = numpy_helper.to_array(sparse.indices, base)
        if indices.ndim == 2:
            dense[tuple(indices.T)] = values
        else:
            dense.reshape(-1)[indices] = values
    except (ValueError, IndexError, OSError) as error:
        raise ModelError(
            f"sparse tensor '{name}' cannot be read ({error}); export the model again."
        ) from error
    return numpy_helper.from_array(dense, name)
