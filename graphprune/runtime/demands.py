"""Sizes that a product behind a flattened tensor asks for.

A model that flattens what its convolutions give and multiplies it by a matrix runs at one size of its input
(or a few, where strides round), and the number of rows of that matrix tells which: the width of what is
flattened grows with the input, so bisection on inferred shapes finds where both meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.runtime.consumers import stored_shape
from graphprune.runtime.dimensions import Key, Sizes
from graphprune.runtime.infer import infer_shapes

_FLATTENING = frozenset({"Flatten", "Reshape"})
_WITHIN = (2, 1 << 16)  # a second of sound; four times that of a picture would be no help
_MOST = 4  # products that are looked at


def demanded_sizes(model: ir.Model, fixed: Sizes, lengths: Sequence[Key]) -> tuple[int, ...]:
    """The size at which, all free lengths having it, a flattened tensor is as wide as its product asks for.

    Args:
        model: the model.
        fixed: sizes of the other free dimensions.
        lengths: the free dimensions that count no samples.

    Returns:
        It, or nothing.
    """
    for name, wanted in itertools.islice(_products(model), _MOST):

        def width(size: int, name: str = name) -> int | None:
            try:
                shapes = infer_shapes(model, {**fixed, **dict.fromkeys(lengths, size)})
            except ModelError:
                return None
            return shapes[name][-1] if shapes.get(name) else None

        size = _meeting(width, wanted)
        if size is not None:
            return (size,)
    return ()


def _products(model: ir.Model) -> Iterator[tuple[str, int]]:
    """Flattened tensors that are multiplied by a stored matrix, and the width it has room for."""
    for node in model.graph:
        if node.op_type not in ("MatMul", "Gemm") or node.inputs[0] is None:
            continue
        maker, shape = node.inputs[0].producer(), stored_shape(node.inputs[1])
        if maker is None or maker.op_type not in _FLATTENING or shape is None or len(shape) != 2:
            continue
        turned = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
        yield str(node.inputs[0].name), shape[1 if turned else 0]


def _meeting(width: Callable[[int], int | None], wanted: int) -> int | None:
    """The roundest size at which the width is `wanted`; None if there is none or any will do."""
    low, high = _first(width, wanted), _first(width, wanted + 1)
    if low is None or high is None or width(low) != wanted:
        return None
    return max(range(low, high), key=lambda size: (size & -size, -size))


def _first(width: Callable[[int], int | None], wanted: int) -> int | None:
    """The smallest size with at least this width."""
    low, high = _WITHIN
    if (largest := width(high)) is None or largest < wanted:
        return None
    while low < high:
        middle = (low + high) // 2
        found = width(middle)
        low, high = (low, middle) if found is not None and found >= wanted else (middle + 1, high)
    return low
