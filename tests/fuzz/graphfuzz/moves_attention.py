"""Attention in the ways exporters write it: split or fused projections, shared key-value heads, rotary."""

from __future__ import annotations

import math

import numpy as np

from graphfuzz.builder import Builder, Choices, Skip, Tensor, few


def _sequence(x: Tensor) -> bool:
    return x.rank == 3 and isinstance(x.shape[2], int) and x.shape[2] > 1


def _heads(b: Builder, r: Choices, x: Tensor, heads: int, width: int) -> Tensor:
    """(n, l, heads * width) -> (n, heads, l, width)."""
    target = r.pick([(0, 0, heads, width), (0, 0, heads, -1), (0, 0, -1, width)])
    y = b.reshape(x, (*x.shape[:2], heads, width), target)
    return b.transpose(y, (0, 2, 1, 3))


def _scale(b: Builder, r: Choices, x: Tensor, width: int) -> str:
    """1 / sqrt(width), as a constant or computed from the shape."""
    if r.chance(0.6):
        return b.scalar(1 / math.sqrt(width))
    size = b.raw("Cast", [b.size_of(x, x.rank - 1, rank_one=r.chance(0.5))], to=1)
    return b.raw("Reciprocal", [b.raw("Sqrt", [size])])


def _attend(b: Builder, r: Choices, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention on (n, heads, l, width)."""
    width = q.static(3)
    few(q.shape[2], k.shape[2])
    if r.chance(0.5):
        q = b.op("Mul", [q, _scale(b, r, q, width)], q.shape)
        k = b.transpose(k, (0, 1, 3, 2))
        scores = b.op("MatMul", [q, k], (*q.shape[:3], k.shape[3]))
    else:
        scale = _scale(b, r, q, width)
        k = b.transpose(k, (0, 1, 3, 2))
        scores = b.op("MatMul", [q, k], (*q.shape[:3], k.shape[3]))
        scores = b.op("Mul", [scores, scale], scores.shape)
    if r.chance(0.2):
        bias = b.weight(r, (1, q.static(1), 1, 1), 1, "b")
        scores = b.op("Add", [scores, bias], scores.shape)
    weights = b.op("Softmax", [scores], scores.shape, axis=-1)
    return b.op("MatMul", [weights, v], (*q.shape[:3], v.shape[3]))


def _merged(b: Builder, r: Choices, x: Tensor) -> Tensor:
    """(n, heads, l, width) -> (n, l, heads * width)."""
    y = b.transpose(x, (0, 2, 1, 3))
    wide = y.static(2) * y.static(3)
    shape = (*y.shape[:2], wide)
    if r.chance(0.3):
        head = b.raw("Slice", [b.shape_of(y), b.ints([0]), b.ints([2]), b.ints([0])])
        return b.op("Reshape", [y, b.raw("Concat", [head, b.ints([r.pick((wide, -1))])], axis=0)], shape)
    return b.reshape(y, shape, r.pick([(0, 0, wide), (0, 0, -1)]))


def attention(b: Builder, r: Choices) -> None:
    """Separate projections; perhaps fewer key-value heads, rotary positions and another width of values."""
    x = b.some(r, _sequence)
    wide = x.static(2)
    kv, repeats, width = r.pick((1, 2)), r.pick((1, 1, 2)), r.pick((2, 4))
    heads = kv * repeats
    value_width = width if r.chance(0.7) else 3
    bias = r.chance(0.6)
    q = _heads(b, r, b.linear(r, x, heads * width, bias), heads, width)
    k = _heads(b, r, b.linear(r, x, kv * width, bias), kv, width)
    v = _heads(b, r, b.linear(r, x, kv * value_width, bias), kv, value_width)
    if r.chance(0.25):
        q, k = _rotary(b, q), _rotary(b, k)
    if repeats > 1:
        k, v = _repeated(b, r, k, repeats), _repeated(b, r, v, repeats)
    y = _merged(b, r, _attend(b, r, q, k, v))
    y = b.linear(r, y, wide, bias)
    b.keep(b.op("Add", [x, y], x.shape) if r.chance(0.7) else y)


def _repeated(b: Builder, r: Choices, x: Tensor, times: int) -> Tensor:
    """(n, kv, l, d) -> (n, kv * times, l, d) through Expand, with a run-time target if need be."""
    n, kv, length, width = x.shape[0], x.static(1), x.shape[2], x.static(3)
    y = b.unsqueeze(x, 2)
    shape = (n, kv, times, length, width)
    y = b.op("Expand", [y, b.ints([1, 1, times, 1, 1])], shape)
    if isinstance(length, int) and r.chance(0.5):
        return b.reshape(y, (n, kv * times, length, width), (0, kv * times, length, width))
    parts = [b.size_of(x, 0), b.ints([kv * times]), b.size_of(x, 2), b.ints([width])]
    return b.op("Reshape", [y, b.raw("Concat", parts, axis=0)], (n, kv * times, length, width))


def _rotary(b: Builder, x: Tensor) -> Tensor:
    """x * cos + rotate_half(x) * sin with constant tables over the width."""
    width = x.static(3)
    half = width // 2
    angle = np.linspace(0.3, 1.1, half).astype(np.float32)
    cos = b.store(np.concatenate([np.cos(angle)] * 2), "cos")
    sin = b.store(np.concatenate([np.sin(angle)] * 2), "sin")
    shape = (*x.shape[:3], half)
    first = b.op("Slice", [x, b.ints([0]), b.ints([half]), b.ints([3])], shape)
    second = b.op("Slice", [x, b.ints([half]), b.ints([1 << 62]), b.ints([3])], shape)
    turned = b.op("Concat", [b.op("Neg", [second], shape), first], x.shape, axis=-1)
    return b.op("Add", [b.op("Mul", [x, cos], x.shape), b.op("Mul", [turned, sin], x.shape)], x.shape)


def fused(b: Builder, r: Choices) -> None:
    """One projection for query, key and value: split before or after the heads, or as (3, heads, width)."""
    x = b.some(r, _sequence)
    wide = x.static(2)
    heads, width = r.pick((2, 3)), r.pick((2, 4))
    inner = heads * width
    qkv = b.linear(r, x, 3 * inner, r.chance(0.7))
    kind = r.pick(("split", "five", "gathered", "interleaved"))
    if kind == "split":
        parts = b.split(qkv, [inner] * 3, 2)
        q, k, v = (_heads(b, r, p, heads, width) for p in parts)
    elif kind == "interleaved":
        y = b.reshape(qkv, (*x.shape[:2], heads, 3 * width), (0, 0, heads, 3 * width))
        y = b.transpose(y, (0, 2, 1, 3))
        parts = b.split(y, [width] * 3, 3, negative=True)
        q, k, v = parts
    else:
        y = b.reshape(qkv, (*x.shape[:2], 3, heads, width), (0, 0, 3, heads, width))
        y = b.transpose(y, (2, 0, 3, 1, 4))
        if kind == "five":
            parts = b.split(y, [1, 1, 1], 0)
            q, k, v = (b.squeeze(p, [0]) for p in parts)
        else:
            q, k, v = (b.op("Gather", [y, b.ints(j, "index")], y.shape[1:], axis=0) for j in range(3))
    y = b.linear(r, _merged(b, r, _attend(b, r, q, k, v)), wide)
    b.keep(b.op("Add", [x, y], x.shape))


def channel_attention(b: Builder, r: Choices) -> None:
    """Attention over the pixels of a map: Conv projections and a run-time flatten."""
    x = b.some(r, lambda t: t.rank == 4 and isinstance(t.shape[1], int))
    few(*x.shape[2:])
    wide, middle = x.static(1), r.pick((4, 6))
    flat = f"{x.shape[2]}*{x.shape[3]}"
    rows = []
    for _ in range(3):
        y = b.op("Conv", [x, b.weight(r, (middle, wide, 1, 1))], (x.shape[0], middle, *x.shape[2:]))
        rows.append(b.reshape(y, (x.shape[0], middle, flat), (0, middle, -1)))
    q, k, v = rows
    scores = b.op("MatMul", [b.transpose(q, (0, 2, 1)), k], (x.shape[0], flat, flat))
    weights = b.op("Softmax", [scores], scores.shape, axis=2)
    y = b.op("MatMul", [v, b.transpose(weights, (0, 2, 1))], v.shape)
    shape = (x.shape[0], middle, *x.shape[2:])
    parts = [b.size_of(x, 0), b.ints([middle]), b.size_of(x, 2), b.size_of(x, 3)]
    y = b.op("Reshape", [y, b.raw("Concat", parts, axis=0)], shape)
    y = b.op("Conv", [y, b.weight(r, (wide, middle, 1, 1))], x.shape)
    b.keep(b.op("Add", [x, y], x.shape))


def linear_attention(b: Builder, r: Choices) -> None:
    """softmax-free attention: phi(q) (phi(k)^T v) over phi(q) sum phi(k)."""
    x = b.some(r, _sequence)
    wide, width = x.static(2), r.pick((4, 6))
    q, k, v = (b.linear(r, x, width, bias=r.chance(0.5)) for _ in range(3))
    phi = r.pick(("Exp", "Relu"))
    if phi == "Exp":
        q, k = (b.op("Tanh", [t], t.shape) for t in (q, k))
    q, k = (b.op(phi, [t], t.shape) for t in (q, k))
    table = b.op("MatMul", [b.transpose(k, (0, 2, 1)), v], (x.shape[0], width, width))
    y = b.op("MatMul", [q, table], q.shape)
    total = b.reduce("ReduceSum", k, [1])
    norm = b.reduce("ReduceSum", b.op("Mul", [q, total], q.shape), [-1])
    norm = b.op("Add", [norm, b.scalar(0.5)], norm.shape)
    b.keep(b.linear(r, b.op("Div", [y, norm], y.shape), wide))


def one_operator(b: Builder, r: Choices) -> None:
    """The Attention operator on 3-D or 4-D operands, with shared heads, a mask or a scale of its own."""
    if b.opset < 23:
        raise Skip
    x = b.some(r, _sequence)
    wide, length = x.static(2), x.shape[1]
    few(length)
    kv, repeats, width = r.pick((1, 2)), r.pick((1, 1, 2)), r.pick((2, 4))
    value_width = width if r.chance(0.7) else 3
    heads = kv * repeats
    q, k = b.linear(r, x, heads * width), b.linear(r, x, kv * width)
    v = b.linear(r, x, kv * value_width)
    given: list[Tensor | str] = [q, k, v]
    if isinstance(length, int) and r.chance(0.4):
        shape = r.pick([(length, length), (1, 1, length, length), (1, heads, length, length)])
        given.append(b.weight(r, shape, 1, "mask"))
    scale = 0.7 if r.chance(0.3) else None
    causal = int(r.chance(0.3)) or None
    if r.chance(0.5):
        given[:3] = [
            _heads(b, r, q, heads, width),
            _heads(b, r, k, kv, width),
            _heads(b, r, v, kv, value_width),
        ]
        y = b.op("Attention", given, (x.shape[0], heads, length, value_width), scale=scale, is_causal=causal)
        y = _merged(b, r, y)
    else:
        shape = (*x.shape[:2], heads * value_width)
        y = b.op("Attention", given, shape, scale=scale, is_causal=causal, q_num_heads=heads, kv_num_heads=kv)
    b.keep(b.op("Add", [x, b.linear(r, y, wide)], x.shape))


MOVES = {
    "one_operator": one_operator,
    "attention": attention,
    "attention2": attention,
    "fused": fused,
    "channel_attention": channel_attention,
    "linear_attention": linear_attention,
}
