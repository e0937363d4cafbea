"""Moves that join or cut tensors: adds, gates, concatenations, splits, slices, gathers, pads, repeats."""

from __future__ import annotations

import numpy as np

from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor


def add(b: Builder, r: Choices) -> None:
    """Two live tensors of one shape, perhaps the same one twice."""
    x = b.some(r)
    other = r.pick([t for t in b.live if t.shape == x.shape])
    b.keep(b.op(r.pick(("Add", "Sub", "Add", "Max", "Sum", "Mean")), [x, other], x.shape))


def gate(b: Builder, r: Choices) -> None:
    """x * sigmoid(y), or x * y that stretches over axes of size 1."""
    x = b.some(r)
    fits = [
        t
        for t in b.live
        if t.rank == x.rank and all(s in (1, u) for s, u in zip(t.shape, x.shape, strict=True))
    ]
    y = r.pick(fits)
    if r.chance(0.6):
        y = b.op(r.pick(("Sigmoid", "Tanh", "Relu", "Softplus")), [y], y.shape)
    b.keep(b.op("Mul", r.shuffled([x, y]), x.shape))


def divide(b: Builder, r: Choices) -> None:
    """x / (something of y that is never zero)."""
    x = b.some(r)
    y = r.pick([t for t in b.live if t.shape == x.shape])
    if r.chance(0.5):
        y = b.op("Add", [b.op("Abs", [y], y.shape), b.scalar(0.5)], y.shape)
    else:
        y = b.op("Exp", [b.op("Tanh", [y], y.shape)], y.shape)
    b.keep(b.op("Div", [x, y], x.shape))


def concat(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: bool(t.static_axes(1)))
    axis = r.pick(x.static_axes(1))

    def fits(t: Tensor) -> bool:
        same = (
            t.rank == x.rank
            and t.shape[:axis] == x.shape[:axis]
            and t.shape[axis + 1 :] == x.shape[axis + 1 :]
        )
        return same and isinstance(t.shape[axis], int)

    parts = [x, *[b.some(r, fits) for _ in range(r.number(1, 2))]]
    if x.rank >= 2 and all(isinstance(s, int) for s in x.shape) and r.chance(0.3):
        parts.append(Tensor(b.weight(r, [x.static(k) for k in range(x.rank)], 1, "b"), x.shape))
    wide = sum(p.static(axis) for p in parts)
    if wide > 48:
        raise Skip
    shape = [wide if k == axis else s for k, s in enumerate(x.shape)]
    b.keep(b.op("Concat", r.shuffled(parts), shape, axis=r.pick((axis, axis - x.rank))))


def split(b: Builder, r: Choices) -> None:
    """Even by number, even by default, or uneven; all pieces stay alive."""
    x = b.some(r, lambda t: bool(t.static_axes(3)))
    axis = r.pick(x.static_axes(3))
    size = x.static(axis)
    parts = r.number(2, 3)
    if size % parts == 0 and r.chance(0.6):
        sizes, given = [size // parts] * parts, r.chance(0.4)
    else:
        cuts = sorted(r.shuffled(range(1, size))[: parts - 1])
        sizes = [int(n) for n in np.diff([0, *cuts, size])]
        given = True
    b.keep(*b.split(x, sizes, axis, by_default=not given, negative=r.chance(0.3)))


def glu(b: Builder, r: Choices) -> None:
    """Half of the channels gate the other half."""
    x = b.some(r, lambda t: any(t.static(k) % 2 == 0 for k in t.static_axes()))
    axis = r.pick([k for k in x.static_axes() if x.static(k) % 2 == 0])
    first, second = b.split(x, [x.static(axis) // 2] * 2, axis)
    second = b.op(r.pick(("Sigmoid", "Gelu")) if b.opset >= 20 else "Sigmoid", [second], second.shape)
    b.keep(b.op("Mul", [first, second], first.shape))


def slice_(b: Builder, r: Choices) -> None:
    """Start and stop, negative positions, steps, reversed; one or two axes."""
    x = b.some(r, lambda t: bool(t.static_axes(2)))
    axes = r.shuffled(x.static_axes(2))[: r.number(1, 2)]
    starts, ends, steps, shape = [], [], [], list(x.shape)
    for axis in axes:
        size = x.static(axis)
        kind = r.pick(("range", "range", "head", "tail", "step", "reverse", "back"))
        first = r.number(0, size - 1)
        start, end, step = first, r.number(first + 1, size), 1
        if kind == "head":
            start = 0
        elif kind == "tail":
            end = r.pick((size, 1 << 40))
        elif kind == "step":
            start, end, step = r.number(0, min(1, size - 1)), r.pick((size, 1 << 31)), 2
        elif kind == "reverse":
            start, end, step = -1, -(1 << 40), -1
        elif kind == "back":
            start, end, step = size - 1, r.number(0, size - 2), r.pick((-1, -2))
        shape[axis] = len(range(*slice(start, end, step).indices(size)))
        if step > 0 and r.chance(0.3):
            start -= size
        starts.append(start)
        ends.append(end)
        steps.append(step)
    given = [x, b.ints(starts), b.ints(ends), b.ints([a - x.rank if r.chance(0.3) else a for a in axes])]
    if any(s != 1 for s in steps) or r.chance(0.5):
        given.append(b.ints(steps))
    b.keep(b.op("Slice", given, shape))


def gather(b: Builder, r: Choices) -> None:
    """A constant index: one slot, a subset, a permutation, repeats, negative ones."""
    x = b.some(r, lambda t: bool(t.static_axes(2)))
    axis = r.pick(x.static_axes(2))
    size = x.static(axis)
    kind = r.pick(("one", "subset", "permutation", "repeats", "interleave", "table"))
    if kind == "one":
        if x.rank < 3:
            raise Skip
        index = b.ints(r.number(-size, size - 1), "index")
        b.keep(b.op("Gather", [x, index], [s for k, s in enumerate(x.shape) if k != axis], axis=axis))
        return
    if kind == "table":
        if x.rank > 3:
            raise Skip
        picked = np.array([[r.number(0, size - 1) for _ in range(2)] for _ in range(2)])
        shape: list[Axis] = [*x.shape[:axis], 2, 2, *x.shape[axis + 1 :]]
        b.keep(b.op("Gather", [x, b.ints(picked.tolist(), "index")], shape, axis=axis))
        return
    if kind == "subset":
        chosen = sorted(r.shuffled(range(size))[: r.number(1, size)])
    elif kind == "permutation":
        chosen = r.shuffled(range(size))
    elif kind == "repeats":
        chosen = [r.number(-size, size - 1) for _ in range(r.number(1, size + 2))]
    else:
        chosen = [k for j in range(size) for k in (j, j)]
    if len(chosen) > 40:
        raise Skip
    shape = [len(chosen) if k == axis else s for k, s in enumerate(x.shape)]
    b.keep(b.op("Gather", [x, b.ints(chosen, "index")], shape, axis=axis))


def pad(b: Builder, r: Choices) -> None:
    """Zeros on one or two axes, now and then another value or mode."""
    x = b.some(r, lambda t: bool(t.static_axes(3)))
    axes = r.shuffled(x.static_axes(3))[: r.number(1, 2)]
    mode = r.pick(("constant", "constant", "constant", "edge", "reflect"))
    before, after = [0] * x.rank, [0] * x.rank
    for axis in axes:
        before[axis], after[axis] = r.number(0, 2), r.number(0, 2)
    shape = [s + before[k] + after[k] if isinstance(s, int) else s for k, s in enumerate(x.shape)]
    value = b.scalar(r.pick((0.0, 0.7)))
    if b.opset >= 18 and r.chance(0.4):
        pads = [before[a] for a in axes] + [after[a] for a in axes]
        b.keep(b.op("Pad", [x, b.ints(pads), value, b.ints(axes)], shape, mode=mode))
        return
    given: list[Tensor | str] = [x, b.ints(before + after)]
    b.keep(b.op("Pad", [*given, value] if r.chance(0.5) else given, shape, mode=mode))


def expand(b: Builder, r: Choices) -> None:
    """Stretch axes of size 1, as torch repeats key-value heads."""
    x = b.some(r, lambda t: t.rank <= 4)
    if not any(s == 1 for s in x.shape):
        x = b.unsqueeze(x, r.number(1, x.rank))
    axes = [k for k, s in enumerate(x.shape) if s == 1]
    axis = r.pick(axes)
    times = r.number(2, 3)
    shape = [times if k == axis else s for k, s in enumerate(x.shape)]
    y = b.op("Expand", [x, b.ints([times if k == axis else 1 for k in range(x.rank)])], shape)
    if 0 < axis < y.rank - 1 and isinstance(y.shape[axis + 1], int) and r.chance(0.7):
        merged: list[Axis] = [*y.shape[:axis], times * y.static(axis + 1), *y.shape[axis + 2 :]]
        unknown = [k for k, s in enumerate(merged) if isinstance(s, str) and k > axis]
        if len(unknown) > 1:
            raise Skip
        target = [0 if k < axis else -1 if k in unknown else int(s) for k, s in enumerate(merged)]
        y = b.reshape(y, merged, target)
    b.keep(y)


def tile(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: bool(t.static_axes(1)))
    axis = r.pick([k for k in x.static_axes(1) if x.static(k) <= 12])
    times = r.number(2, 3)
    shape = [x.static(axis) * times if k == axis else s for k, s in enumerate(x.shape)]
    b.keep(b.op("Tile", [x, b.ints([times if k == axis else 1 for k in range(x.rank)])], shape))


MOVES = {
    "add": add,
    "add2": add,
    "gate": gate,
    "divide": divide,
    "concat": concat,
    "concat2": concat,
    "split": split,
    "glu": glu,
    "slice": slice_,
    "gather": gather,
    "pad": pad,
    "expand": expand,
    "tile": tile,
}
