"""The file of external data that belongs to a model being written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import onnx_ir as ir

from graphprune.load.staging import Staging
from graphprune.load.tensors import needed_bytes, tofile

if TYPE_CHECKING:
    from onnx_ir import TensorProtocol

WORTH_BYTES = 1024
"""Smaller tensors stay in the model file: shape inference wants to see them."""
_ALIGNMENT = 64


class DataFile:
    """Takes tensors one at a time; the file comes into being with the first."""

    def __init__(self, files: Staging, path: Path) -> None:
        self._files, self._path = files, path
        self._file: BinaryIO | None = None
        self._offsets: dict[tuple[str, int, int], int] = {}
        self._made: dict[int, ir.ExternalTensor] = {}
        self.size_bytes = 0

    def made(self, tensor: TensorProtocol) -> bool:
        """Whether `tensor` is one that `take` made."""
        return id(tensor) in self._made

    def take(self, tensor: TensorProtocol, name: str) -> TensorProtocol:
        """Writes the tensor's data here and returns a pointer to it; small ones and text stay as they are."""
        if self.made(tensor) or tensor.dtype == ir.DataType.STRING or needed_bytes(tensor) < WORTH_BYTES:
            return tensor
        moved = ir.ExternalTensor(
            self._path.name,
            self._offset(tensor),
            needed_bytes(tensor),
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )
        self._made[id(moved)] = moved
        return moved

    def _offset(self, tensor: TensorProtocol) -> int:
        """Returns where the data is; data that was shared before is written once."""
        if not isinstance(tensor, ir.ExternalTensor):
            return self._append(tensor)
        key = (tensor.path, tensor.offset or 0, needed_bytes(tensor))
        if key not in self._offsets:
            self._offsets[key] = self._append(tensor)
        return self._offsets[key]

    def _append(self, tensor: TensorProtocol) -> int:
        file = self._file = self._file or self._files.open(self._path)
        file.write(bytes(-file.tell() % _ALIGNMENT))
        offset = file.tell()
        tofile(tensor, file)
        self.size_bytes = file.tell()
        if self.size_bytes - offset != needed_bytes(tensor):
            found = self.size_bytes - offset
            raise ValueError(f"tensor '{tensor.name}' needs {needed_bytes(tensor)} bytes but gave {found}")
        return offset
