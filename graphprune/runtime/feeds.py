"""Random inputs that a model accepts: right types, right shapes, no index out of range."""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.runtime.cached import find_lengths
from graphprune.runtime.dimensions import Sizes, free_dimensions, input_shape, real_inputs
from graphprune.runtime.meaning import Kind, Meaning, meaning, value_flow
from graphprune.runtime.positions import SHAPE_POSITIONS
from graphprune.runtime.sizes import choose_sizes

__all__ = ["choose_sizes", "free_dimensions", "random_feeds"]

Array = np.ndarray[Any, np.dtype[Any]]

_FLOATS: Mapping[ir.DataType, Any] = {
    ir.DataType.FLOAT: np.float32,
    ir.DataType.DOUBLE: np.float64,
    ir.DataType.FLOAT16: np.float16,
    ir.DataType.BFLOAT16: ml_dtypes.bfloat16,
    ir.DataType.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    ir.DataType.FLOAT8E4M3FNUZ: ml_dtypes.float8_e4m3fnuz,
    ir.DataType.FLOAT8E5M2: ml_dtypes.float8_e5m2,
    ir.DataType.FLOAT8E5M2FNUZ: ml_dtypes.float8_e5m2fnuz,
}
_INTEGERS: Mapping[ir.DataType, Any] = {
    ir.DataType.INT8: np.int8,
    ir.DataType.INT16: np.int16,
    ir.DataType.INT32: np.int32,
    ir.DataType.INT64: np.int64,
    ir.DataType.UINT8: np.uint8,
    ir.DataType.UINT16: np.uint16,
    ir.DataType.UINT32: np.uint32,
    ir.DataType.UINT64: np.uint64,
}
# Eight-bit inputs that index nothing are pixels or bytes.
BYTES = frozenset({ir.DataType.UINT8, ir.DataType.INT8})

_SHARE_OF_ONES = 0.9


def random_feeds(model: ir.Model, sizes: Sizes, seed: int) -> dict[str, Array]:
    """One array per real input of `model`.

    Real numbers are normal; whole numbers stay inside the table they index, masks are mostly ones
    and begin with one, a lone number is one that the model compares it with, and lengths of sequences are
    what the other inputs have.

    Args:
        model: any model; initializers that are listed as inputs are not fed.
        sizes: a size for every key of `free_dimensions(model)`.
        seed: equal seeds give equal arrays.

    Raises:
        ModelError: an input is a string, a sequence, an optional or of an unsupported type, or a
            size is missing.
    """
    inputs = real_inputs(model)
    flow = value_flow(model) if any(value.dtype in _INTEGERS for value in inputs) else None
    lengths = find_lengths(model)
    told = lengths.told(sizes) if lengths is not None else {}
    feeds: dict[str, Array] = {}
    for position, value in enumerate(inputs):
        # A generator of its own makes an input's numbers independent of the inputs before it.
        rng = np.random.default_rng((seed, position))
        dtype = _element_type(value)
        shape = input_shape(value, sizes)
        if dtype in _FLOATS:
            feeds[str(value.name)] = _floats(rng, value, shape).astype(_FLOATS[dtype])
        elif dtype == ir.DataType.BOOL:
            feeds[str(value.name)] = _mask(rng, shape).astype(np.bool_)
        elif value.name in told:
            feeds[str(value.name)] = np.full(shape, told[str(value.name)], _INTEGERS[dtype])
        elif flow is not None:
            numbers = _integers(rng, meaning(value, flow, sizes), shape, dtype)
            feeds[str(value.name)] = numbers.astype(_INTEGERS[dtype])
    return feeds


def _element_type(value: ir.Value) -> ir.DataType:
    """The element type of an input, which must be one that random numbers can be made for."""
    if isinstance(value.type, (ir.SequenceType, ir.OptionalType)):
        kind = "a sequence" if isinstance(value.type, ir.SequenceType) else "optional"
        raise ModelError(f"input {value.name!r} is {kind}: no random value can be made for it")
    dtype = value.dtype
    if dtype is None:
        raise ModelError(f"input {value.name!r} has no element type: no random value can be made for it")
    if dtype not in _FLOATS and dtype not in _INTEGERS and dtype != ir.DataType.BOOL:
        raise ModelError(f"input {value.name!r} is of type {dtype.name}: no random value can be made for it")
    return dtype


def _floats(rng: np.random.Generator, value: ir.Value, shape: tuple[int, ...]) -> Array:
    if any(position in SHAPE_POSITIONS.get(node.op_type, ()) for node, position in value.uses()):
        return np.ones(shape)  # a scale of Resize, say, which must be positive
    return _mask(rng, shape) if "mask" in str(value.name).lower() else rng.standard_normal(shape)


def _integers(rng: np.random.Generator, what: Meaning, shape: tuple[int, ...], dtype: ir.DataType) -> Array:
    match what.kind:
        case Kind.INDEX:
            return rng.integers(0, min(what.bound, np.iinfo(_INTEGERS[dtype]).max), shape)
        case Kind.LENGTH:
            return np.ones(shape)
        case Kind.CHOICE:
            return np.full(shape, what.choices[0])
        case Kind.MASK if dtype not in BYTES:
            return _mask(rng, shape)
    return rng.integers(0, 128 if dtype in BYTES else 2, shape)


def _mask(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Mostly ones; the first position along the last axis always is, so that no row is empty."""
    ones = (rng.random(shape) < _SHARE_OF_ONES).astype(np.float64)
    if shape:
        ones[..., :1] = 1
        return ones
    return np.ones(())
