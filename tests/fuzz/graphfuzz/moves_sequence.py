"""Layers on the last axis: Gemm, MatMul, tied weights, MLPs, Einsum, recurrent layers."""

from __future__ import annotations

from typing import Any

from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor, few


def _last(x: Tensor) -> bool:
    return x.rank >= 2 and isinstance(x.shape[-1], int) and x.shape[-1] > 1


def gemm(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank == 2 and _last(t))
    wide, out = x.static(1), r.pick((4, 6, 8, 12))
    across = r.chance(0.5)
    w = b.weight(r, (out, wide) if across else (wide, out), wide)
    given: list[Tensor | str] = [x, w]
    if r.chance(0.7):
        given.append(b.weight(r, r.pick([(out,), (1, out), (1,), ()]), 1, "b"))
    factors = {"alpha": 0.5, "beta": 2.0} if r.chance(0.2) else {}
    b.keep(b.op("Gemm", given, (x.shape[0], out), transB=int(across) if across else None, **factors))


def linear(b: Builder, r: Choices) -> None:
    x = b.some(r, _last)
    b.keep(b.linear(r, x, r.pick((4, 6, 8, 12, 16)), r.chance(0.7)))


def mlp(b: Builder, r: Choices) -> None:
    """Residual MLP, sometimes gated."""
    x = b.some(r, _last)
    wide, middle = x.static(-1), r.pick((6, 8, 12, 16))
    h = b.linear(r, x, middle)
    h = b.op(r.pick(("Relu", "Tanh", "Sigmoid")), [h], h.shape)
    if r.chance(0.4):
        h = b.op("Mul", [h, b.linear(r, x, middle, bias=r.chance(0.5))], h.shape)
    b.keep(b.op("Add", r.shuffled([x, b.linear(r, h, wide)]), x.shape))


def tied(b: Builder, r: Choices) -> None:
    """A matrix used here and, transposed, again."""
    x = b.some(r, _last)
    wide = x.static(-1)
    matrices = [n for n, w in b.weights.items() if n.startswith("W_") and w.ndim == 2]
    straight = [n for n in matrices if b.weights[n].shape[0] == wide]
    across = [n for n in matrices if b.weights[n].shape[1] == wide]
    if straight and (not across or r.chance(0.5)):
        w = r.pick(straight)
        b.keep(b.op("MatMul", [x, w], (*x.shape[:-1], int(b.weights[w].shape[1]))))
        return
    w = r.pick(across)
    out = int(b.weights[w].shape[0])
    turned = b.raw("Transpose", [w], "turned", perm=[1, 0])
    b.keep(b.op("MatMul", [x, turned], (*x.shape[:-1], out)))


def twice(b: Builder, r: Choices) -> None:
    """The same square layer called twice."""
    x = b.some(r, _last)
    wide = x.static(-1)
    w, bias = b.weight(r, (wide, wide), wide), b.weight(r, (wide,), 1, "b")
    for _ in range(2):
        x = b.op("MatMul", [x, w], x.shape)
        x = b.op("Tanh", [b.op("Add", [x, bias], x.shape)], x.shape)
    b.keep(x)


def einsum(b: Builder, r: Choices) -> None:
    """A weight with heads, a plain product, or a product of two activations."""
    if b.opset < 12:
        raise Skip
    x = b.some(r, lambda t: t.rank == 3 and _last(t))
    n, length, wide = x.shape[0], x.shape[1], x.static(2)
    kind = r.pick(("heads", "plain", "gram", "ellipsis", "sum", "diagonal"))
    if kind == "heads":
        w = b.weight(r, (wide, 2, 4), wide)
        b.keep(b.op("Einsum", [x, w], (n, length, 2, 4), equation="bld,dhk->blhk"))
    elif kind == "plain":
        w = b.weight(r, (6, wide), wide)
        b.keep(b.op("Einsum", [x, w], (n, length, 6), equation="abc,dc->abd"))
    elif kind == "gram":
        other = r.pick([t for t in b.live if t.shape == x.shape])
        y = b.op("Einsum", [x, other], (n, wide, wide), equation="bli,blj->bij")
        b.keep(b.op("Tanh", [y], y.shape))
    elif kind == "ellipsis":
        w = b.weight(r, (wide, 6), wide)
        b.keep(b.op("Einsum", [x, w], (n, length, 6), equation="...c,cd->...d"))
    elif kind == "sum":
        y = b.op("Einsum", [x], (n, length), equation="bld->bl")
        b.keep(b.op("Tanh", [y], y.shape))
    else:
        w = b.weight(r, (wide,), 1)
        b.keep(b.op("Einsum", [x, w], (n, wide, length), equation="bld,d->bdl"))


def bilinear(b: Builder, r: Choices) -> None:
    """A product of two activations that share the last axis."""
    x = b.some(r, lambda t: t.rank == 3 and _last(t))
    other = r.pick(
        [t for t in b.live if t.rank == 3 and t.shape[0] == x.shape[0] and t.shape[2] == x.shape[2]]
    )
    few(x.shape[1], other.shape[1])
    turned = b.transpose(other, (0, 2, 1))
    y = b.op("MatMul", [x, turned], (x.shape[0], x.shape[1], other.shape[1]))
    y = b.op(r.pick(("Tanh", "Sigmoid")), [y], y.shape)
    b.keep(y)


def recurrent(b: Builder, r: Choices) -> None:
    """LSTM, GRU or RNN, one or two directions, over (batch, length, width)."""
    x = b.some(r, lambda t: t.rank == 3 and _last(t))
    op, gates = r.pick((("LSTM", 4), ("GRU", 3), ("RNN", 1)))
    hidden, wide = r.pick((3, 4, 6)), x.static(2)
    direction = r.pick(("forward", "bidirectional", "reverse"))
    ways = 2 if direction == "bidirectional" else 1
    seq = b.transpose(x, (1, 0, 2))
    given: list[Tensor | str] = [
        seq,
        b.weight(r, (ways, gates * hidden, wide), wide),
        b.weight(r, (ways, gates * hidden, hidden), hidden),
    ]
    if r.chance(0.7):
        given.append(b.weight(r, (ways, 2 * gates * hidden), 1, "b"))
    length, n = seq.shape[0], seq.shape[1]
    shapes: list[list[Axis]] = [[length, ways, n, hidden], [ways, n, hidden]]
    if op == "LSTM":
        shapes.append([ways, n, hidden])
    before: dict[str, Any] = {"linear_before_reset": r.number(0, 1)} if op == "GRU" else {}
    names = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}[op]
    if r.chance(0.3):
        names = (*names[:-1], r.pick(("Sigmoid", "Relu", "Softsign")))
    if r.chance(0.5) or names[-1] != "Tanh":
        before["activations"] = list(names) * ways
    y, last, *_ = b.ops(op, given, shapes, hidden_size=hidden, direction=direction, **before)
    if r.chance(0.3):
        last = b.transpose(last, (1, 0, 2))
        b.keep(b.reshape(last, (n, ways * hidden), (-1, ways * hidden)))
        return
    if ways == 1:
        b.keep(b.transpose(b.squeeze(y, [1]), (1, 0, 2)))
        return
    y = b.transpose(y, (2, 0, 1, 3))
    b.keep(b.reshape(y, (n, length, ways * hidden), (0, 0, -1)))


def stacked(b: Builder, r: Choices) -> None:
    """A matrix product with one matrix for each slot of an axis (mixture of experts, batched weights)."""
    x = b.some(r, lambda t: t.rank in (2, 3) and _last(t))
    wide, experts = x.static(-1), r.pick((2, 3))
    x = b.unsqueeze(x, 1) if x.rank == 3 else b.unsqueeze(b.unsqueeze(x, 1), 1)
    w = b.weight(r, (experts, wide, 6), wide)
    y = b.op("MatMul", [x, w], (x.shape[0], experts, x.shape[2], 6))
    if r.chance(0.5):
        y = b.op("Relu", [y], y.shape)
        v = b.weight(r, (experts, 6, 4), 6)
        y = b.op("MatMul", [y, v], (*y.shape[:3], 4))
    if r.chance(0.5):
        y = b.reduce("ReduceSum", y, [1], keep=False)
    b.keep(y)


def pointwise_mix(b: Builder, r: Choices) -> None:
    """A token-mixing layer: MatMul over the middle axis through two Transposes."""
    x = b.some(r, lambda t: t.rank == 3 and all(isinstance(s, int) for s in t.shape[1:]))
    if x.static(1) < 2:
        raise Skip
    y = b.transpose(x, (0, 2, 1))
    y = _mixed(b, r, y, x.static(1))
    b.keep(b.op("Add", [x, b.transpose(y, (0, 2, 1))], x.shape))


def _mixed(b: Builder, r: Choices, y: Tensor, back: int) -> Tensor:
    h = b.linear(r, y, r.pick((4, 6)))
    return b.linear(r, b.op("Relu", [h], h.shape), back)


MOVES = {
    "gemm": gemm,
    "linear": linear,
    "linear2": linear,
    "mlp": mlp,
    "tied": tied,
    "twice": twice,
    "einsum": einsum,
    "bilinear": bilinear,
    "recurrent": recurrent,
    "stacked": stacked,
    "pointwise_mix": pointwise_mix,
}
