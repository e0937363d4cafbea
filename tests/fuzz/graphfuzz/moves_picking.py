"""Slots picked, sorted or written by index: TopK, GatherElements, GatherND, ScatterND, Compress, Trilu, tables."""

from __future__ import annotations

import numpy as np

from graphfuzz.builder import Builder, Choices, Skip


def top_k(b: Builder, r: Choices) -> None:
    """The largest values."""
    x = b.some(r, lambda t: any(k > 0 for k in t.static_axes(3)))
    axis = r.pick([k for k in x.static_axes(3) if k])
    count = r.number(1, x.static(axis) - 1)
    shape = [count if k == axis else s for k, s in enumerate(x.shape)]
    values, _ = b.ops("TopK", [x, b.ints([count], "k")], [shape, shape], axis=axis)
    b.keep(values)


def by_element(b: Builder, r: Choices) -> None:
    """GatherElements with a constant table of the same shape."""
    x = b.some(r, lambda t: t.rank >= 2 and all(isinstance(s, int) for s in t.shape))
    axis = r.number(0, x.rank - 1)
    shape = [x.static(k) for k in range(x.rank)]
    index = np.array([r.number(0, shape[axis] - 1) for _ in range(int(np.prod(shape)))]).reshape(shape)
    b.keep(b.op("GatherElements", [x, b.store(index.astype(np.int64), "table")], x.shape, axis=axis))


def gather_nd(b: Builder, r: Choices) -> None:
    """Rows of the first axis, by a table of one index each."""
    x = b.some(r, lambda t: t.rank >= 2 and bool(t.static_axes(1)))
    axis = r.pick(x.static_axes(1))
    order = [axis, *[k for k in range(x.rank) if k != axis]]
    y = b.transpose(x, order)
    count = r.number(1, 4)
    index = np.array([[r.number(0, y.static(0) - 1)] for _ in range(count)], np.int64)
    z = b.op("GatherND", [y, b.store(index, "table")], (count, *y.shape[1:]))
    b.keep(b.transpose(z, np.argsort(order).tolist()))


def scatter_nd(b: Builder, r: Choices) -> None:
    """Rows of the first axis overwritten with rows of a constant."""
    x = b.some(r, lambda t: t.rank >= 2 and all(isinstance(s, int) for s in t.shape[1:]))
    if not isinstance(x.shape[0], int):
        order = [*range(1, x.rank), 0]
        y = b.transpose(x, order)
    else:
        y = x
    if isinstance(y.shape[-1], str):
        raise Skip
    rows = min(2, y.static(0))
    index = np.array([[k] for k in r.shuffled(range(y.static(0)))[:rows]], np.int64)
    update = b.weight(r, (rows, *[y.static(k) for k in range(1, y.rank)]), 1, "update")
    b.keep(b.op("ScatterND", [y, b.store(index, "table"), update], y.shape))


def compress(b: Builder, r: Choices) -> None:
    """Slots of one axis by a stored condition, which may say nothing of the last ones."""
    x = b.some(r, lambda t: bool(t.static_axes(2)))
    axis = r.pick(x.static_axes(2))
    size = r.number(1, x.static(axis))
    chosen = np.array([r.chance(0.6) for _ in range(size)])
    chosen[r.number(0, size - 1)] = True
    shape = [int(chosen.sum()) if k == axis else s for k, s in enumerate(x.shape)]
    b.keep(b.op("Compress", [x, b.store(chosen, "chosen")], shape, axis=axis))


def triangle(b: Builder, r: Choices) -> None:
    """The lower triangle of the last two axes."""
    if b.opset < 14:
        raise Skip
    x = b.some(r, lambda t: t.rank >= 2)
    b.keep(b.op("Trilu", [x], x.shape, upper=r.number(0, 1)))


def position_table(b: Builder, r: Choices) -> None:
    """Learned positions, as a constant or looked up with a Range over the run-time length."""
    x = b.some(r, lambda t: t.rank == 3 and isinstance(t.shape[2], int))
    length, wide = x.shape[1], x.static(2)
    table = b.weight(r, (64, wide), 1, "positions")
    if isinstance(length, int) and length <= 64 and r.chance(0.5):
        rows = b.op("Slice", [table, b.ints([0]), b.ints([length]), b.ints([0])], (length, wide))
        b.keep(b.op("Add", [x, b.unsqueeze(rows, 0)], x.shape))
        return
    if length != "L" and not (isinstance(length, int) and length <= 64):
        raise Skip
    count = b.size_of(x, 1, rank_one=False)
    steps = b.raw("Range", [b.ints(0), count, b.ints(1)])
    rows = b.op("Gather", [table, steps], (length, wide))
    b.keep(b.op("Add", [x, rows], x.shape))


def arg_max(b: Builder, r: Choices) -> None:
    """What stands at the place of the largest value.

    Every place gets a summand of its own first: where two values are equal but for rounding, either may win.
    """
    x = b.some(r, lambda t: any(k > 0 for k in t.static_axes(1)))
    axis = r.pick([k for k in x.static_axes(1) if k])
    size = x.static(axis)
    steps = np.array(r.shuffled(range(size)), np.float32).reshape([-1] + [1] * (x.rank - 1 - axis))
    apart = b.op("Add", [x, b.store(steps * np.float32(0.37), "steps")], x.shape)
    best = b.raw("ArgMax", [apart], axis=axis, keepdims=1)
    shape = [1 if k == axis else s for k, s in enumerate(x.shape)]
    b.keep(b.op("Add", [x, b.op("GatherElements", [x, best], shape, axis=axis)], x.shape))


MOVES = {
    "top_k": top_k,
    "by_element": by_element,
    "gather_nd": gather_nd,
    "scatter_nd": scatter_nd,
    "compress": compress,
    "triangle": triangle,
    "position_table": position_table,
    "arg_max": arg_max,
}
