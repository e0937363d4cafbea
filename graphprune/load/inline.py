"""Reads a large model file without its weights: they stay in the file until somebody looks at one.

The file is walked as protobuf wire format, and the bytes of every large tensor are left out; a note in their
place (an external location that no file can have) says where they are. A file that does not read like that is
left to the ordinary parser, which can say what is wrong with it.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.load.tensors import needed_bytes, replace_tensors

_LOCATION = "\0graphprune: in the model file"
_LARGE_TENSOR = 1 << 16
_LARGE_FILE = 1 << 22

# Fields of the messages on the way to a tensor's bytes, by number in onnx.proto.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER = 7, 1, 5
_NODE_ATTRIBUTE, _ATTRIBUTE_TENSOR, _TENSOR_RAW_DATA = 5, 5, 9
_BYTES = 2  # wire type of what has a length


class ModelFile:
    """An open model file; it goes on being the same file even if its path is given to another one."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`.

        Raises:
            ModelError: the file is shorter now than when it was opened.
        """
        parts: list[bytes] = []
        while length:
            part = os.pread(self._descriptor, min(length, 1 << 30), offset)
            if not part:
                raise ModelError(
                    "the model file became shorter while it was read; leave it alone and try again."
                )
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def read_without_weights(path: Path) -> onnx.ModelProto | None:
    """The model in a file, notes for large tensors; None if the file is small or out of the ordinary."""
    if not path.is_file() or path.stat().st_size < _LARGE_FILE:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            lean = _without(content, 0, len(content), (_MODEL_GRAPH,))
        except (IndexError, ValueError):
            return None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(lean)
    except Exception:  # whatever is wrong, the ordinary way says it better
        return None
    return model


def restore_weights(model: ir.Model, path: Path) -> None:
    """Put tensors that read their bytes from the file in the place of the notes, in place.

    Raises:
        ModelError: a tensor has more or fewer bytes than its shape asks for.
    """
    source = ModelFile(path)

    def restored(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
        if not isinstance(tensor, ir.ExternalTensor) or tensor.location != _LOCATION:
            return tensor
        needed, found = needed_bytes(tensor), tensor.length or 0
        if needed != found:
            raise ModelError(
                f"tensor '{name}' of shape {tuple(tensor.shape.numpy())} needs {needed} bytes of data but "
                f"has {found}; the model is damaged, so export or download it again."
            )
        return _lazily_read(tensor, name, source)

    replace_tensors(model, restored)


def _lazily_read(note: ir.ExternalTensor, name: str, source: ModelFile) -> ir.LazyTensor:
    offset, length, dtype, shape = (
        note.offset or 0,
        note.length or 0,
        note.dtype,
        ir.Shape(note.shape.numpy()),
    )

    def read() -> ir.TensorProtocol:
        proto = onnx.TensorProto(data_type=int(dtype), dims=list(shape.numpy()), name=name)
        if dtype.bitwidth < 8:
            proto.raw_data = source.read(offset, length)
            return ir.TensorProtoTensor(proto)
        array = np.frombuffer(source.read(offset, length), dtype=dtype.numpy()).reshape(shape.numpy())
        return ir.Tensor(array, dtype=dtype, shape=shape, name=name)

    return ir.LazyTensor(
        read, dtype, shape, name=name, doc_string=note.doc_string, metadata_props=dict(note.metadata_props)
    )


# -- wire format ------------------------------------------------------------------------------


def _without(content: mmap.mmap, start: int, end: int, inside: tuple[int, ...]) -> bytes:
    """One message with the large tensors below its fields `inside` left out."""
    parts: list[bytes] = []
    copied = start
    for field, key, value, stop in _fields(content, start, end):
        if field not in inside or stop - value < _LARGE_TENSOR:
            continue
        parts.append(content[copied:key])
        lean = _lean(content, field, value, stop, inside)
        parts += [_number(field << 3 | _BYTES), _number(len(lean)), lean]
        copied = stop
    parts.append(content[copied:end])
    return b"".join(parts)


def _lean(content: mmap.mmap, field: int, start: int, end: int, level: tuple[int, ...]) -> bytes:
    """What stands in a large field: a graph, a node, an attribute or a tensor."""
    if level == (_MODEL_GRAPH,):
        return _without(content, start, end, (_GRAPH_NODE, _GRAPH_INITIALIZER))
    if level == (_GRAPH_NODE, _GRAPH_INITIALIZER) and field == _GRAPH_NODE:
        return _without(content, start, end, (_NODE_ATTRIBUTE, -1))
    if level == (_NODE_ATTRIBUTE, -1):
        return _without(content, start, end, (_ATTRIBUTE_TENSOR, -2))
    return _tensor(content, start, end)


def _tensor(content: mmap.mmap, start: int, end: int) -> bytes:
    parts: list[bytes] = []
    notes: list[bytes] = []
    copied = start
    for field, key, value, stop in _fields(content, start, end):
        if field == _TENSOR_RAW_DATA and stop - value >= _LARGE_TENSOR:
            parts.append(content[copied:key])
            notes.append(_note(value, stop - value))
            copied = stop
    # Last, because of a field that comes twice the last counts: the tensor may say where its data is, too.
    return b"".join([*parts, content[copied:end], *notes])


def _note(offset: int, length: int) -> bytes:
    """Fields of a TensorProto that say where its bytes are."""
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", _LOCATION), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return bytes(tensor.SerializeToString())


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, start of the key, start and end of the value of every field of a message.

    Raises:
        ValueError: this is not a message.
    """
    at = start
    while at < end:
        key_at = at
        key, at = _varint(content, at)
        value_at = at
        match key & 7:
            case 0:
                _, at = _varint(content, at)
            case 1:
                at += 8
            case 2:
                size, value_at = _varint(content, at)
                at = value_at + size
            case 5:
                at += 4
            case _:
                raise ValueError("unknown wire type")
        if at > end or key >> 3 == 0:
            raise ValueError("field leaves its message")
        yield key >> 3, key_at, value_at, at


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("number too long")


def _number(value: int) -> bytes:
    """A number in wire format."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
