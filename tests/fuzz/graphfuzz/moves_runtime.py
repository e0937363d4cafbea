"""Shape arithmetic at run time, as exporters write it for dynamic models."""

from __future__ import annotations

import math

from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor


def flatten_tail(b: Builder, r: Choices) -> None:
    """Shape -> Gather -> Concat -> Reshape to (n, -1), then a layer if the width is known."""
    x = b.some(r, lambda t: t.rank >= 3 and all(isinstance(s, int) for s in t.shape[1:]))
    wide = math.prod(x.static(k) for k in range(1, x.rank))
    if wide > 400:
        raise Skip
    target = b.raw("Concat", [b.size_of(x, 0), b.ints([-1])], axis=0)
    y = b.op("Reshape", [x, target], (x.shape[0], wide))
    b.keep(b.linear(r, y, r.pick((6, 8))))


def to_tokens(b: Builder, r: Choices) -> None:
    """(n, c, h, w) -> (n, c, h*w) -> (n, h*w, c), perhaps a layer, and back with run-time sizes."""
    x = b.some(r, lambda t: t.rank == 4 and isinstance(t.shape[1], int))
    wide = x.static(1)
    high, broad = x.shape[2:]
    flat: Axis = high * broad if isinstance(high, int) and isinstance(broad, int) else f"{high}*{broad}"
    if r.chance(0.5):
        y = b.reshape(x, (x.shape[0], wide, flat), r.pick([(0, 0, -1), (0, wide, -1)]))
    else:
        product = b.raw("Mul", [b.size_of(x, 2), b.size_of(x, 3)])
        parts = [b.size_of(x, 0), r.pick((b.size_of(x, 1), b.ints([wide]))), product]
        y = b.op("Reshape", [x, b.raw("Concat", parts, axis=0)], (x.shape[0], wide, flat))
    y = b.transpose(y, (0, 2, 1))
    if r.chance(0.3):
        b.keep(y)
        return
    y = b.linear(r, y, wide)
    y = b.transpose(y, (0, 2, 1))
    parts = [b.size_of(x, 0), r.pick((b.ints([wide]), b.size_of(y, 1))), b.size_of(x, 2), b.size_of(x, 3)]
    b.keep(b.op("Reshape", [y, b.raw("Concat", parts, axis=0)], x.shape))


def same_shape(b: Builder, r: Choices) -> None:
    """Flatten all but the last axis, a layer, and a Reshape to the shape of the input."""
    x = b.some(r, lambda t: t.rank >= 3 and isinstance(t.shape[-1], int))
    wide = x.static(-1)
    rows = "*".join(map(str, x.shape[:-1]))
    y = b.reshape(x, (rows, wide), (-1, wide))
    y = b.op("Relu", [b.linear(r, y, wide)], (rows, wide))
    b.keep(b.op("Reshape", [y, b.shape_of(x)], x.shape))


def split_by_division(b: Builder, r: Choices) -> None:
    """Heads whose width is computed at run time: size / heads."""
    x = b.some(r, lambda t: t.rank == 3 and isinstance(t.shape[2], int) and t.shape[2] % 2 == 0)
    wide = x.static(2)
    width = b.raw("Div", [b.size_of(x, 2), b.ints([2])])
    target = b.raw("Concat", [b.size_of(x, 0), b.size_of(x, 1), b.ints([2]), width], axis=0)
    y = b.op("Reshape", [x, target], (*x.shape[:2], 2, wide // 2))
    y = b.transpose(y, (0, 1, 3, 2)) if r.chance(0.5) else y
    b.keep(b.op("Reshape", [y, b.shape_of(x)], x.shape) if r.chance(0.6) else y)


def slice_at_runtime(b: Builder, r: Choices) -> None:
    """Half of an axis, its bound computed from the shape."""
    x = b.some(r, lambda t: any(t.static(k) % 2 == 0 for k in t.static_axes()))
    axis = r.pick([k for k in x.static_axes() if x.static(k) % 2 == 0])
    size = b.size_of(x, axis)
    half = b.raw("Div", [size, b.ints([2])])
    shape = [x.static(k) // 2 if k == axis else s for k, s in enumerate(x.shape)]
    first = b.op("Slice", [x, b.ints([0]), half, b.ints([axis])], shape)
    second = b.op("Slice", [x, half, size, b.ints([axis])], shape)
    if r.chance(0.5):
        b.keep(b.op("Concat", [second, first], x.shape, axis=axis))
    else:
        b.keep(b.op("Mul", [first, second], shape))


def expand_to(b: Builder, r: Choices) -> None:
    """A constant or a tensor stretched to the run-time shape of another, as torch's expand_as."""
    x = b.some(r, lambda t: t.rank >= 2 and isinstance(t.shape[-1], int))
    row = b.weight(r, (x.static(-1),), 1, "b")
    if r.chance(0.5):
        wide = b.op("Expand", [row, b.shape_of(x)], x.shape)
    else:
        parts = [b.size_of(x, k) for k in range(x.rank - 1)] + [b.ints([r.pick((1, x.static(-1)))])]
        wide = b.op("Expand", [row, b.raw("Concat", parts, axis=0)], x.shape)
    b.keep(b.op("Add", [x, wide], x.shape))


def zeros_like(b: Builder, r: Choices) -> None:
    """A ConstantOfShape of the shape of a tensor, concatenated or added."""
    x = b.some(r, lambda t: bool(t.static_axes(1)))
    zeros = Tensor(b.raw("ConstantOfShape", [b.shape_of(x)]), x.shape)
    if r.chance(0.5):
        axis = r.pick(x.static_axes(1))
        if x.static(axis) > 16:
            raise Skip
        shape = [x.static(k) * 2 if k == axis else s for k, s in enumerate(x.shape)]
        b.keep(b.op("Concat", [x, zeros], shape, axis=axis))
        return
    b.keep(b.op("Add", [x, zeros], x.shape))


def scaled_by_size(b: Builder, r: Choices) -> None:
    """x / sqrt(size of an axis): the number must stay what it was."""
    x = b.some(r, lambda t: bool(t.static_axes(2)))
    size = b.raw("Cast", [b.size_of(x, r.pick(x.static_axes(2)), rank_one=False)], to=1)
    b.keep(b.op("Div", [x, b.raw("Sqrt", [size])], x.shape))


def scaled_by_count(b: Builder, r: Choices) -> None:
    """x / log2(number of its elements), from Size."""
    x = b.some(r)
    count = b.raw("Cast", [b.raw("Size", [x])], to=1)
    b.keep(b.op("Div", [x, b.raw("Log", [b.raw("Add", [count, b.scalar(2.0)])])], x.shape))


MOVES = {
    "flatten_tail": flatten_tail,
    "to_tokens": to_tokens,
    "same_shape": same_shape,
    "split_by_division": split_by_division,
    "slice_at_runtime": slice_at_runtime,
    "expand_to": expand_to,
    "zeros_like": zeros_like,
    "scaled_by_size": scaled_by_size,
    "scaled_by_count": scaled_by_count,
}
