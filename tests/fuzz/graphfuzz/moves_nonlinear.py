"""Slot-wise functions and reductions."""

from __future__ import annotations

import numpy as np

from graphfuzz.builder import Builder, Choices, Tensor

_PLAIN = (
    *("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "HardSwish"),
    *("HardSigmoid", "Erf", "Sin", "Cos", "Abs", "Neg", "Celu", "Mish", "Gelu", "ThresholdedRelu"),
)
_SINCE = {"Celu": 12, "HardSwish": 14, "Mish": 18, "Gelu": 20}


def unary(b: Builder, r: Choices) -> None:
    x = b.some(r)
    op = r.pick([op for op in _PLAIN if _SINCE.get(op, 1) <= b.opset])
    b.keep(b.op(op, [x], x.shape))


def tame(b: Builder, r: Choices) -> None:
    """Functions that need a bounded or positive argument."""
    x = b.some(r)
    bounded = b.op("Tanh", [x], x.shape)
    op = r.pick(("Exp", "Log", "Sqrt", "Reciprocal", "Asin"))
    if op in ("Log", "Sqrt", "Reciprocal"):
        positive = b.op("Abs", [x], x.shape)
        bounded = positive if op == "Sqrt" else b.op("Add", [positive, b.scalar(0.5)], x.shape)
    elif op == "Asin":
        bounded = b.op("Mul", [bounded, b.scalar(0.7)], x.shape)
    b.keep(b.op(op, [bounded], x.shape))


def clip(b: Builder, r: Choices) -> None:
    x = b.some(r)
    low, high = r.pick(((0.0, 1.0), (-1.0, 1.0), (0.25, 2.0), (-2.0, -0.25)))
    bounds: list[Tensor | str] = [b.scalar(low), b.scalar(high)]
    given = r.pick((bounds, bounds[:1], ["", bounds[1]]))
    b.keep(b.op("Clip", [x, *given], x.shape))


def power(b: Builder, r: Choices) -> None:
    """x^2, x^3, a power per channel, or a constant to the power of x."""
    x = b.some(r)
    kind = r.pick(("square", "cube", "channel", "base"))
    if kind in ("square", "cube"):
        x = b.op("Tanh", [x], x.shape)
        b.keep(b.op("Pow", [x, b.scalar(2.0 if kind == "square" else 3.0)], x.shape))
        return
    if kind == "base":
        bounded = b.op("Tanh", [x], x.shape)
        b.keep(b.op("Pow", [b.scalar(1.5), bounded], x.shape))
        return
    axis = r.pick(x.static_axes(1))
    shape = [x.static(k) if k == axis else 1 for k in range(axis, x.rank)]
    positive = b.op("Sigmoid", [x], x.shape) if r.chance(0.5) else b.op("Abs", [x], x.shape)
    b.keep(b.op("Pow", [positive, b.gain(r, shape)], x.shape))


def where(b: Builder, r: Choices) -> None:
    """A leaky ReLU spelled with Where, or a constant mask per slot."""
    x = b.some(r)
    if r.chance(0.5):
        below = b.op("Mul", [x, b.scalar(0.2)], x.shape)
        positive = b.raw("Greater", [x, b.scalar(0.0)])
        b.keep(b.op("Where", [positive, x, below], x.shape))
        return
    axis = r.pick(x.static_axes(1))
    shape = [x.static(k) if k == axis else 1 for k in range(axis, x.rank)]
    mask = np.array([r.chance(0.6) for _ in range(x.static(axis))]).reshape(shape)
    other: Tensor | str = b.scalar(r.pick((0.0, 0.3)))
    if r.chance(0.4):
        other = r.pick([t for t in b.live if t.shape == x.shape])
    b.keep(b.op("Where", [b.store(mask, "mask"), *r.shuffled([x, other])], x.shape))


def reduce(b: Builder, r: Choices) -> None:
    """Over channels, over space or over both."""
    x = b.some(r, lambda t: t.rank >= 2)
    op = r.pick(
        ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceSumSquare")
    )
    axes = r.shuffled(range(1, x.rank))[: r.number(1, x.rank - 1)]
    keep = r.chance(0.7) or x.rank - len(axes) < 2
    y = b.reduce(op, x, [a - x.rank if r.chance(0.3) else a for a in sorted(axes)], keep)
    if op in ("ReduceSum", "ReduceL1", "ReduceSumSquare"):
        y = b.op("Mul", [y, b.scalar(0.2)], y.shape)
    if keep and r.chance(0.5):
        y = b.op(r.pick(("Add", "Sub", "Mul")), [x, y], x.shape)
    b.keep(y)


def softmax(b: Builder, r: Choices) -> None:
    x = b.some(r)
    axis = r.pick(range(x.rank))
    op = r.pick(("Softmax", "Softmax", "LogSoftmax"))
    b.keep(b.op(op, [x], x.shape, axis=r.pick((axis, axis - x.rank))))


def l2_normalise(b: Builder, r: Choices) -> None:
    """x over its norm: as LpNormalization, or with a clipped ReduceL2."""
    x = b.some(r, lambda t: t.rank >= 2)
    axis = r.number(1, x.rank - 1)
    norm = b.reduce("ReduceL2", x, [axis])
    norm = b.op("Clip", [norm, b.scalar(1e-2)], norm.shape)
    b.keep(b.op("Div", [x, norm], x.shape))


def cumulative(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank >= 2)
    axis = r.number(1, x.rank - 1)
    y = b.op("CumSum", [x, b.ints(axis, "axis")], x.shape)
    b.keep(b.op("Mul", [y, b.scalar(0.3)], x.shape))


MOVES = {
    "unary": unary,
    "unary2": unary,
    "tame": tame,
    "clip": clip,
    "power": power,
    "where": where,
    "reduce": reduce,
    "softmax": softmax,
    "l2_normalise": l2_normalise,
    "cumulative": cumulative,
}
