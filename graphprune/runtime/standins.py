"""Stand-ins for the weights of a large model while its shapes are recorded.

Shapes do not depend on what large weights hold, so gigabytes need not be read to learn them. All large
weights of one type become the same random numbers, in a file no larger than the largest of them; a product
with a large matrix sums up only its first row, and a transposed matrix is only given its new shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir

from graphprune.runtime import storage

_MODEL_BYTES = 512 << 20
"""Models up to this size run with their own weights."""
_WEIGHT_BYTES = 1 << 20
"""Weights up to this size keep their values."""
_PATTERN = 1 << 20
_WRITTEN_BYTES = 64 << 20
"""The rest of a larger stand-in is a hole in its file and reads as zeros."""
_SCALE = 0.02  # activations stay finite however deep the network is


@contextmanager
def with_stand_ins(model: ir.Model) -> Iterator[ir.Model]:
    """`model`, or a copy of a large one whose large weights are stand-ins as long as the block runs."""
    if storage.weight_bytes(model) <= _MODEL_BYTES:
        yield model
        return
    folder = storage.private_folder()
    try:
        yield _copy(model, folder)
    finally:
        storage.remove_folder(folder)


def _copy(model: ir.Model, folder: Path) -> ir.Model:
    copy = model.clone()
    sizes: dict[ir.DataType, int] = {}
    for tensor in storage.initializers(copy):
        if _replaceable(tensor):
            sizes[tensor.dtype] = max(sizes.get(tensor.dtype, 0), tensor.nbytes)
    for dtype, size in sizes.items():
        _write(folder / _place(dtype), dtype, size)
    for graph in (copy.graph, *copy.graph.subgraphs()):
        for name, value in graph.initializers.items():
            stored = value.const_value
            if stored is None:
                continue
            if _replaceable(stored):
                value.const_value = _stand_in(stored, name, folder)
            elif isinstance(stored, ir.ExternalTensor):  # a runtime takes files from one folder only
                value.const_value = _inside(stored, name)
    _reshape_transposed(copy)
    _thin_products(copy)
    return copy


def _replaceable(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor is large, and of a type that never holds sizes, positions or conditions."""
    real = tensor.dtype.is_floating_point() or tensor.dtype in _QUANTISED
    return bool(real and tensor.nbytes > _WEIGHT_BYTES)


_QUANTISED = frozenset({ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT4, ir.DataType.UINT4})


def _place(dtype: ir.DataType) -> str:
    return f"stand-in-{dtype.name.lower()}.data"


def _write(path: Path, dtype: ir.DataType, size: int) -> None:
    """A file of `size` bytes: one piece of random numbers again and again."""
    draw = np.random.default_rng(0)
    if dtype in _QUANTISED:
        piece = draw.integers(0, 256, _PATTERN, dtype=np.uint8).tobytes()
    else:
        piece = (draw.standard_normal(_PATTERN, dtype=np.float32) * _SCALE).astype(dtype.numpy()).tobytes()
    with path.open("wb") as file:
        for _ in range(math.ceil(min(size, _WRITTEN_BYTES) / len(piece))):
            file.write(piece)
        file.truncate(size)


def _stand_in(tensor: ir.TensorProtocol, name: str, folder: Path) -> ir.ExternalTensor:
    shape = ir.Shape(tensor.shape.numpy())
    place = _place(tensor.dtype)
    return ir.ExternalTensor(
        place, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name, base_dir=str(folder)
    )


def _inside(tensor: ir.ExternalTensor, name: str) -> ir.LazyTensor:
    shape = ir.Shape(tensor.shape.numpy())
    return ir.LazyTensor(
        lambda: ir.Tensor(tensor.numpy(), dtype=tensor.dtype), tensor.dtype, shape, name=name
    )


# -- cheaper operators with results of the same shape -------------------------------------------


def _reshape_transposed(model: ir.Model) -> None:
    """Turns a Transpose of a stand-in, which would copy it, into a Reshape, in place."""
    graph = model.graph
    for value in tuple(graph.initializers.values()):
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        for node in [n for n, _ in value.uses() if n.op_type == "Transpose" and n.graph is graph]:
            sizes = tensor.shape.numpy()
            order = node.attributes["perm"].as_ints() if "perm" in node.attributes else None
            turned = [sizes[k] for k in order] if order else list(reversed(sizes))
            shape = _integers(graph, f"graphprune.standin.{node.outputs[0].name}.shape", turned)
            node.op_type = "Reshape"
            node.attributes.clear()
            node.resize_inputs(2)
            node.replace_input_with(1, shape)


def _thin_products(model: ir.Model) -> None:
    """Sums up one product instead of thousands wherever a MatMul or Gemm reads a stand-in, in place."""
    graph = model.graph
    if graph.opset_imports.get("", 1) < _SLICE_BY_INPUTS:
        return
    numbers = {n: _integers(graph, f"graphprune.standin.{n}", [n]) for n in (0, 1, -1)}
    for value in tuple(graph.initializers.values()):
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor) or len(tensor.shape) != 2 or not value.uses():
            continue
        axes = {_summed_axis(node, index, graph) for node, index in value.uses()}
        if len(axes) != 1 or None in axes:
            continue
        axis = axes.pop()
        shape = [1 if k == axis else size for k, size in enumerate(tensor.shape.numpy())]
        value.const_value = ir.ExternalTensor(
            tensor.location,
            0,
            tensor.nbytes // tensor.shape.numpy()[axis or 0],
            tensor.dtype,
            shape=ir.Shape(shape),
            name=tensor.name,
            base_dir=tensor.base_dir,
        )
        value.shape = ir.Shape(shape)
        for node, _ in value.uses():
            first = ir.node("Slice", [node.inputs[0], numbers[0], numbers[1], numbers[-1]])
            first.outputs[0].name = f"graphprune.standin.{node.outputs[0].name}"
            graph.insert_before(node, first)
            node.replace_input_with(0, first.outputs[0])


_SLICE_BY_INPUTS = 10


def _summed_axis(node: ir.Node, index: int, graph: ir.Graph) -> int | None:
    """The axis of a matrix that a product sums over; None if it is more than the right side of a product."""
    if index != 1 or node.domain or node.graph is not graph:
        return None
    if node.op_type == "MatMul":
        return 0
    if node.op_type == "Gemm" and not _flag(node, "transA"):
        return 1 if _flag(node, "transB") else 0
    return None


def _flag(node: ir.Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].as_int())


def _integers(graph: ir.Graph, name: str, numbers: Sequence[int]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.array(numbers, np.int64), name=name))
    graph.register_initializer(value)
    return value
