"""Bytes of a file to a ModelProto, or one sentence that says what the file is instead."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from graphprune.errors import ModelError

_KNOWN_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself; run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (perhaps a PyTorch checkpoint); export the model to ONNX first"),
    (b"\x89HDF\r\n", "an HDF5 file (perhaps a Keras model); export the model to ONNX first"),
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"\x80\x02", "a Python pickle (perhaps a PyTorch checkpoint); export the model to ONNX first"),
    (b"\x80\x04", "a Python pickle; export the model to ONNX first"),
)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_proto(path: Path) -> onnx.ModelProto:
    """Returns the model in a binary ONNX file; data in other files is not read.

    Raises:
        ModelError: The file is missing, is no file, is empty, is cut short or is not an ONNX model.
    """
    content = _read(path)
    if not content:
        raise ModelError(f"{path}: the file is empty; export or download the model again.")
    try:
        model = onnx.ModelProto()
        model.ParseFromString(content)
        return model
    except DecodeError as error:
        raise ModelError(f"{path}: {_what_it_is(content)}.") from error


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(f"{path}: this is a folder; give the .onnx file inside it.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such file; check the path.") from error
    except OSError as error:
        raise ModelError(
            f"{path}: the file cannot be read ({error.strerror}); check its permissions."
        ) from error


def _what_it_is(content: bytes) -> str:
    for start, description in _KNOWN_STARTS:
        if content.startswith(start):
            return f"this is {description}"
    if _is_text(content[:1024]):
        return "this is a text file, not an ONNX model; give the binary .onnx file"
    if missing := _missing_bytes(content):
        return (
            f"the file is cut short: its contents announce at least {missing} bytes more than the "
            f"{len(content)} it has; download or export it again"
        )
    return "this is not an ONNX model (its bytes are not a protobuf message); give a binary .onnx file"


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", errors="replace").rstrip("\ufffd")  # a cut may split the last character
    return bool(text) and all(character.isprintable() or character.isspace() for character in text)


def _missing_bytes(content: bytes) -> int:
    """Returns how many bytes the last top-level field lacks; 0 if that is not what is wrong."""
    position, seen = 0, 0
    try:
        while position < len(content):
            key, position = _varint(content, position)
            wire, field = key & 7, key >> 3
            if field == 0 or field > 30 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
                return 0  # no field of ModelProto: these bytes are something else
            seen += 1
            if wire == _VARINT:
                _, position = _varint(content, position)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
                if wire == _BYTES:
                    size, position = _varint(content, position)
                position += size
    except IndexError:
        return 1 if seen > 1 else 0
    return position - len(content)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Returns the number at `position` and the position after it; IndexError at the end of the bytes."""
    value = shift = 0
    while True:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > 63:
            return value, position
        shift += 7
