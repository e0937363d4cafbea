"""Tensor data: does each tensor have the bytes that its shape asks for, and may its file be read?"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.load.proto_walk import all_graphs, all_nodes
from graphprune.load.tensors import all_tensors, needed_bytes, replace_tensors

if TYPE_CHECKING:
    from onnx_ir import TensorProtocol

_COMPLEX = {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}


def check_inline_data(model: onnx.ModelProto) -> None:
    """Raises ModelError for a tensor of unknown type, or with less or more data than its shape says."""
    for graph in all_graphs(model):
        for tensor in graph.initializer:
            _check_tensor(tensor, f"initializer '{tensor.name}'")
    for node in all_nodes(model):
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors:
                _check_tensor(tensor, f"attribute '{attribute.name}' of {node.op_type} '{node.name}'")


def settle_external(model: ir.Model, folder: Path | None, home: Path | None = None) -> int:
    """Checks every file that tensors point to and makes the pointers exact, in place; no data is read.

    Args:
        model: Ours to change.
        folder: The folder of the model file; None keeps the folder that each tensor names itself.
        home: Where the model file really is, if its path is a symbolic link; data that links lead to
            there is as good as beside it.

    Returns:
        The bytes of external data, ranges that several tensors share counted once.

    Raises:
        ModelError: A file is missing, too short, or outside the model's folder.
    """
    ranges: set[tuple[str, int, int]] = set()
    for _, tensor in all_tensors(model):
        if isinstance(tensor, ir.ExternalTensor) and folder is not None:
            tensor.base_dir = str(folder)
    if home is not None:
        replace_tensors(model, lambda tensor, name: _at_home(tensor, name, home))
    for where, tensor in all_tensors(model):
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(tensor, where)
            ranges.add((tensor.path, tensor.offset or 0, needed_bytes(tensor)))
    if ranges:
        replace_tensors(model, _exact)
    return sum(size for _, _, size in ranges)


def _check_tensor(tensor: onnx.TensorProto, where: str) -> None:
    try:
        bits = ir.DataType(tensor.data_type).bitwidth if tensor.data_type != onnx.TensorProto.STRING else 0
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{where} has the unknown data type {tensor.data_type}; upgrade onnx and onnx-ir."
        ) from error
    if any(size < 0 for size in tensor.dims):
        raise ModelError(
            f"{where} has the shape {tuple(tensor.dims)}, with a negative size; export it again."
        )
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    size = math.prod(tensor.dims)
    needed, found, unit = size, _elements(tensor), "elements"
    if tensor.HasField("raw_data"):
        needed, found, unit = math.ceil(size * bits / 8), len(tensor.raw_data), "bytes"
    elif bits < 8 and tensor.data_type != onnx.TensorProto.STRING:
        needed = math.ceil(size * bits / 8) if bits in (2, 4) else size
    if found != needed:
        raise ModelError(
            f"{where} of shape {tuple(tensor.dims)} needs {needed} {unit} of data but has {found}; "
            "the model is damaged, so export or download it again."
        )


def _elements(tensor: onnx.TensorProto) -> int:
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
    count = max(map(len, (*fields, tensor.uint64_data, tensor.string_data)))
    return count // 2 if tensor.data_type in _COMPLEX else count


def _check_external(tensor: ir.ExternalTensor, where: str) -> None:
    location, base = os.fspath(tensor.location), Path(tensor.base_dir or ".")
    path = base / location
    if not location:
        raise ModelError(
            f"{where} has its data in another file, but the model does not say in which; export it again."
        )
    if os.path.isabs(location) or _leaves(os.path.normpath(path), os.path.normpath(base)):
        raise ModelError(
            f"{where} has its data in '{location}', outside the model's folder, which is not safe to follow; "
            "move the file beside the model and change the location to its bare name."
        )
    if not path.exists():
        raise ModelError(
            f"{where} has its data in '{location}', but there is no such file in {base}; put it there."
        )
    if _leaves(os.path.realpath(path), os.path.realpath(base)):
        raise ModelError(
            f"{where} has its data in '{location}', a symbolic link out of the model's folder, which is not "
            "safe to follow; put a copy of the file there instead."
        )
    if path.is_dir():
        raise ModelError(f"{where} has its data in '{location}', which is a folder; export the model again.")
    if tensor.base_dir and path.stat().st_nlink > 1:
        raise ModelError(
            f"{where} has its data in '{location}', a file with more than one hard link, which is not safe "
            "to follow; put a copy of the file there instead."
        )
    _check_length(tensor, where, path)


def _check_length(tensor: ir.ExternalTensor, where: str, path: Path) -> None:
    needed, start = needed_bytes(tensor), tensor.offset or 0
    if tensor.length is not None and tensor.length < needed:
        raise ModelError(
            f"{where} of shape {tuple(tensor.shape.numpy())} needs {needed} bytes, but the model declares "
            f"{tensor.length} bytes of '{tensor.location}'; export the model again."
        )
    if (size := path.stat().st_size) < start + needed:
        raise ModelError(
            f"{where} needs bytes {start} to {start + needed} of '{tensor.location}', but the file has only "
            f"{size}; it is cut short, so download or export it again."
        )


def _leaves(path: str, folder: str) -> bool:
    return os.path.commonpath([os.path.abspath(path), os.path.abspath(folder)]) != os.path.abspath(folder)


def _exact(tensor: TensorProtocol, name: str) -> TensorProtocol:
    """Returns the external tensor with its true length; an empty one, which cannot be mapped, in memory."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    if not (needed := needed_bytes(tensor)):
        empty = np.empty(tuple(tensor.shape.numpy()), tensor.dtype.numpy())
        return ir.Tensor(empty, dtype=tensor.dtype, name=name)
    return _moved(tensor, name, tensor.location, tensor.base_dir, needed)


def _at_home(tensor: TensorProtocol, name: str, home: Path) -> TensorProtocol:
    """The tensor with its data where a symbolic link leads, if that is the model's real folder.

    Caches of downloads keep every file under another name in one folder, and links to it where it belongs.
    """
    if not isinstance(tensor, ir.ExternalTensor) or os.path.isabs(tensor.location):
        return tensor
    path = Path(tensor.base_dir or ".") / tensor.location
    if _leaves(os.path.normpath(path), os.path.normpath(tensor.base_dir or ".")) or not path.is_symlink():
        return tensor
    real = path.resolve()
    return _moved(tensor, name, real.name, home, tensor.length) if real.parent == home else tensor


def _moved(
    tensor: ir.ExternalTensor,
    name: str,
    location: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    length: int | None,
) -> ir.ExternalTensor:
    """The same tensor with its data at another place, or of another length."""
    return ir.ExternalTensor(
        location,
        tensor.offset,
        length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape),
        name=name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=folder,
    )
