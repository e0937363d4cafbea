"""Arrays into values of the runtime and back, also of element types that it does not share with numpy."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx

from graphprune.runtime.ort import onnxruntime

Array = np.ndarray[Any, np.dtype[Any]]

# Element types that ONNX Runtime computes with but will not hand to numpy: the numpy type, and the
# plain integer that carries its bits across.
CARRIED: Mapping[str, tuple[Any, Any, int]] = {
    "bfloat16": (ml_dtypes.bfloat16, np.uint16, onnx.TensorProto.BFLOAT16),
    "float8e4m3fn": (ml_dtypes.float8_e4m3fn, np.uint8, onnx.TensorProto.FLOAT8E4M3FN),
    "float8e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, np.uint8, onnx.TensorProto.FLOAT8E4M3FNUZ),
    "float8e5m2": (ml_dtypes.float8_e5m2, np.uint8, onnx.TensorProto.FLOAT8E5M2),
    "float8e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, np.uint8, onnx.TensorProto.FLOAT8E5M2FNUZ),
}


def to_ort(array: Array, device: str = "cpu") -> Any:
    """`array` as a value of the runtime on `device`."""
    value = onnxruntime().OrtValue
    for dtype, carrier, code in CARRIED.values():
        if array.dtype == dtype:
            plain = np.ascontiguousarray(array).view(carrier)
            return value.ortvalue_from_numpy_with_onnx_type(plain, code)
    if device == "cpu":
        return value.ortvalue_from_numpy(np.ascontiguousarray(array))
    return value.ortvalue_from_numpy(np.ascontiguousarray(array), device, 0)


def from_ort(value: Any) -> Any:
    """A value of the runtime as an array (copied), list or None."""
    if not value.has_value():
        return None
    element = str(value.data_type()).removeprefix("tensor(").removesuffix(")")
    if element not in CARRIED:
        return value.numpy()
    dtype = np.dtype(CARRIED[element][0])
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    data = ctypes.string_at(value.data_ptr(), count * dtype.itemsize)
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def flat(name: str, item: Any) -> Iterator[tuple[str, Array]]:
    """The arrays in one output, each with a name."""
    if item is None:
        return
    if isinstance(item, (list, dict)):
        entries = item.items() if isinstance(item, dict) else enumerate(item)
        for key, entry in entries:
            yield from flat(f"{name}[{key}]", entry)
        return
    yield name, np.asarray(item)
