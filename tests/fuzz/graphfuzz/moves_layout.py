"""Moves that regroup or re-order slots and leave every value as it is."""

from __future__ import annotations

import math

from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor


def _divisors(n: int) -> list[int]:
    return [d for d in range(2, n) if n % d == 0]


def transpose(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank >= 2)
    order = [0, *r.shuffled(range(1, x.rank))] if r.chance(0.8) else r.shuffled(range(x.rank))
    b.keep(b.transpose(x, order))


def split_axis(b: Builder, r: Choices) -> None:
    """One axis becomes two."""
    x = b.some(r, lambda t: t.rank <= 4 and any(_divisors(t.static(k)) for k in t.static_axes()))
    axis = r.pick([k for k in x.static_axes() if _divisors(x.static(k))])
    outer = r.pick(_divisors(x.static(axis)))
    shape: list[Axis] = [*x.shape[:axis], outer, x.static(axis) // outer, *x.shape[axis + 1 :]]
    b.keep(_reshaped(b, r, x, shape))


def merge_axes(b: Builder, r: Choices) -> None:
    """Two neighbouring axes of known size become one."""
    x = b.some(r, lambda t: t.rank >= 3)
    axis = r.pick(
        [k for k in range(x.rank - 1) if isinstance(x.shape[k], int) and isinstance(x.shape[k + 1], int)]
    )
    shape: list[Axis] = [*x.shape[:axis], x.static(axis) * x.static(axis + 1), *x.shape[axis + 2 :]]
    b.keep(_reshaped(b, r, x, shape))


def regroup(b: Builder, r: Choices) -> None:
    """All static axes behind a prefix get other sizes."""
    x = b.some(r, lambda t: t.rank >= 2)
    first = 0
    while first < x.rank and (isinstance(x.shape[first], str) or (first == 0 and r.chance(0.9))):
        first += 1
    if first >= x.rank or any(isinstance(s, str) for s in x.shape[first:]):
        raise Skip
    total = math.prod(x.static(k) for k in range(first, x.rank))
    sizes: list[Axis] = []
    while len(sizes) < 3 - min(first, 2) and _divisors(total) and r.chance(0.7):
        sizes.append(r.pick(_divisors(total)))
        total //= int(sizes[-1])
    b.keep(_reshaped(b, r, x, [*x.shape[:first], *sizes, total]))


def _reshaped(b: Builder, r: Choices, x: Tensor, shape: list[Axis]) -> Tensor:
    """A Reshape whose target uses 0 and -1 at random; dynamic axes must be copied or the only unknown."""
    target: list[int] = []
    for k, size in enumerate(shape):
        same = k < x.rank and x.shape[k] == size
        if isinstance(size, str):
            if same and (r.chance(0.7) or -1 in target):
                target.append(0)
            elif -1 not in target:
                target.append(-1)
            else:
                raise Skip
        elif same and r.chance(0.3):
            target.append(0)
        else:
            target.append(size)
    if -1 not in target and r.chance(0.4):
        target[r.number(0, len(target) - 1)] = -1
    return b.reshape(x, shape, target)


def shuffle(b: Builder, r: Choices) -> None:
    """A channel shuffle: (g c) -> (c g)."""
    x = b.some(r, lambda t: any(_divisors(t.static(k)) for k in t.static_axes() if k))
    axis = r.pick([k for k in x.static_axes() if k and _divisors(x.static(k))])
    outer = r.pick(_divisors(x.static(axis)))
    shape: list[Axis] = [*x.shape[:axis], outer, x.static(axis) // outer, *x.shape[axis + 1 :]]
    y = _reshaped(b, r, x, shape)
    order = list(range(y.rank))
    order[axis], order[axis + 1] = axis + 1, axis
    b.keep(_reshaped(b, r, b.transpose(y, order), list(x.shape)))


def flatten(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank >= 3 and all(isinstance(s, int) for s in t.shape[1:]))
    wide = math.prod(x.static(k) for k in range(1, x.rank))
    if wide > 600:
        raise Skip
    y = (
        b.op("Flatten", [x], (x.shape[0], wide), axis=1)
        if r.chance(0.5)
        else _reshaped(b, r, x, [x.shape[0], wide])
    )
    b.keep(b.linear(r, y, r.pick((6, 8, 12))) if r.chance(0.7) else y)


def windows(b: Builder, r: Choices) -> None:
    """Window partition, a layer inside the windows, and back, after Swin."""
    x = b.some(r, lambda t: t.rank == 4 and all(isinstance(s, int) for s in t.shape[1:]))
    x = b.transpose(x, (0, 2, 3, 1)) if r.chance(0.5) else x
    _, high, wide, channels = (x.shape[0], x.static(1), x.static(2), x.static(3))
    if high % 2 or wide % 2:
        raise Skip
    n = x.shape[0]
    y = b.reshape(x, (n, high // 2, 2, wide // 2, 2, channels), (-1, high // 2, 2, wide // 2, 2, channels))
    y = b.transpose(y, (0, 1, 3, 2, 4, 5))
    y = b.reshape(y, (f"{n}*{high * wide // 4}", 4, channels), (-1, 4, channels))
    y = b.linear(r, y, channels)
    y = b.reshape(y, (n, high // 2, wide // 2, 2, 2, channels), (-1, high // 2, wide // 2, 2, 2, channels))
    y = b.transpose(y, (0, 1, 3, 2, 4, 5))
    b.keep(b.reshape(y, x.shape, (-1, high, wide, channels)))


def roll(b: Builder, r: Choices) -> None:
    """Two slices swapped, along any axis."""
    x = b.some(r, lambda t: bool(t.static_axes(2)))
    axis = r.pick(x.static_axes(2))
    size = x.static(axis)
    at = r.number(1, size - 1)

    def part(start: int, end: int) -> Tensor:
        shape = [end - start if k == axis else s for k, s in enumerate(x.shape)]
        last = r.pick((end, 1 << 40)) if end == size else end
        return b.op("Slice", [x, b.ints([start]), b.ints([last]), b.ints([axis])], shape)

    b.keep(b.op("Concat", [part(at, size), part(0, at)], x.shape, axis=axis))


def depth_to_space(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank == 4 and isinstance(t.shape[1], int) and t.shape[1] % 4 == 0)
    if any(isinstance(s, int) and s > 8 for s in x.shape[2:]):
        raise Skip
    space: list[Axis] = [s * 2 if isinstance(s, int) else f"{s}*2" for s in x.shape[2:]]
    mode = r.pick(("DCR", "CRD"))
    b.keep(b.op("DepthToSpace", [x], (x.shape[0], x.static(1) // 4, *space), blocksize=2, mode=mode))


def space_to_depth(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank == 4 and all(isinstance(s, int) and s % 2 == 0 for s in t.shape[2:]))
    y = b.op(
        "SpaceToDepth",
        [x],
        (x.shape[0], x.static(1) * 4, x.static(2) // 2, x.static(3) // 2),
        blocksize=2,
    )
    b.keep(y)


def unit_axes(b: Builder, r: Choices) -> None:
    """Unsqueeze, or squeeze an axis of size 1."""
    x = b.some(r)
    ones = [k for k, s in enumerate(x.shape) if s == 1 and k]
    if ones and x.rank > 2 and r.chance(0.7):
        b.keep(b.squeeze(x, [r.pick(ones)]))
    elif x.rank < 5:
        b.keep(b.unsqueeze(x, r.number(0, x.rank)))


MOVES = {
    "transpose": transpose,
    "split_axis": split_axis,
    "merge_axes": merge_axes,
    "regroup": regroup,
    "shuffle": shuffle,
    "flatten": flatten,
    "windows": windows,
    "roll": roll,
    "depth_to_space": depth_to_space,
    "space_to_depth": space_to_depth,
    "unit_axes": unit_axes,
}
