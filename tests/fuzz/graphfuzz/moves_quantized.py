"""Weights stored as integers behind a DequantizeLinear with one scale for all or one for each channel."""

from __future__ import annotations

import numpy as np

from graphfuzz.builder import Builder, Choices, Skip, Tensor


def _dequantized(b: Builder, r: Choices, shape: tuple[int, ...], axis: int, fan: int) -> str:
    """A weight of `shape`, int8 with scales along `axis` (or one scale)."""
    values = np.array([r.number(-90, 90) or 5 for _ in range(int(np.prod(shape)))], np.int8).reshape(shape)
    along = b.opset >= 13 and r.chance(0.7)
    size = (shape[axis],) if along else ()
    scale = np.asarray([r.number(50, 150) for _ in range(int(np.prod(size)))], np.float32).reshape(size)
    given = [
        b.store(values, "Q"),
        b.store(np.asarray(scale / (6000 * np.sqrt(fan)) * 2, np.float32), "scale"),
    ]
    if r.chance(0.7):
        given.append(b.store(np.zeros(size, np.int8), "zero"))
    return b.raw("DequantizeLinear", given, axis=axis if along else None)


def conv(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank == 4 and isinstance(t.shape[1], int))
    inside, out = x.static(1), r.pick((4, 6, 8))
    w = _dequantized(b, r, (out, inside, 1, 1), 0, inside)
    b.keep(b.op("Conv", [x, w, b.weight(r, (out,), 1, "b")], (x.shape[0], out, *x.shape[2:])))


def linear(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank >= 2 and isinstance(t.shape[-1], int) and t.shape[-1] > 1)
    wide, out = x.static(-1), r.pick((4, 6, 8))
    w = _dequantized(b, r, (wide, out), 1, wide)
    b.keep(b.op("MatMul", [x, w], (*x.shape[:-1], out)))


def activation(b: Builder, r: Choices) -> None:
    """An activation sent through float16 and back: a Cast must not stop anything."""
    if r.chance(0.5):
        raise Skip
    x = b.some(r)
    half = b.raw("Cast", [x], to=11)
    b.keep(Tensor(b.raw("Cast", [half], to=1), x.shape))


MOVES = {"quantized_conv": conv, "quantized_linear": linear, "cast": activation}
