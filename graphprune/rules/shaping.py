"""Operators that only move, regroup, repeat or drop slots, and those that speak of shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.dims import Atom, Const, Dim, Product, Sum, add, multiply, terms_of
from graphprune.dims.expr import take
from graphprune.rules.context import Barrier, NodeContext, prefix
from graphprune.rules.effects import (
    Entry,
    InputPositions,
    Joined,
    Lookup,
    Regrouping,
    ReshapeTarget,
    ShapeOf,
    SplitSizes,
)
from graphprune.rules.rule import rule


def _transpose(node: NodeContext) -> None:
    """The same axes in another order."""
    dims = node.dims(0)
    order = node.attribute("perm")
    node.set(0, [dims[int(k)] for k in order] if order is not None else reversed(dims))


def regroup(node: NodeContext) -> None:
    """Squeeze, Unsqueeze and Flatten: the shape follows from the input's by itself."""
    node.set(0, node.reshaped(node.dims(0), node.out_shape()))


def _reshape(node: NodeContext) -> None:
    """The product of the axes stays: factors split and merge."""
    before = node.dims(0)
    after = node.reshaped(before, node.out_shape())
    for axis, dim in enumerate(after):
        if (
            node.is_dynamic(axis)
            and not isinstance(dim, Atom | Const)
            and isinstance(node.solver.resolve(dim), Sum)
        ):
            node.freeze(dim, f"joined to an axis of changing size by {node.where}")
    node.say(ReshapeTarget(node.name, before, after))
    node.set(0, after)


def _expand(node: NodeContext) -> None:
    """Axes of size 1 become new dimensions: repeats that may be cut, if their number is a constant."""
    dims, shape = node.dims(0), node.out_shape()
    dims = (*[Const(1)] * (len(shape) - len(dims)), *dims)
    out: list[Dim] = []
    for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if dim.size == size:
            out.append(dim)
        elif node.is_dynamic(axis):
            out.append(node.fixed(size))
        else:
            out.append(node.solver.fresh(size))
    wanted = node.value(1)
    count = len(shape) if wanted is None else int(np.size(wanted))
    entries: list[Dim | None] = list(out[len(shape) - count :])
    if wanted is not None:
        entries = [None if int(v) in (1, -1) else e for v, e in zip(np.ravel(wanted), entries, strict=True)]
    node.sizes_input(1, entries)
    node.set(0, out)


def _constant_of_shape(node: NodeContext) -> None:
    """Every axis of fixed size is a dimension that may be cut."""
    out = [
        node.fixed(s) if node.is_dynamic(k) or s == 1 else node.solver.fresh(s)
        for k, s in enumerate(node.out_shape())
    ]
    if out:
        node.sizes_input(0, out)
    node.set(0, out)


def _tile(node: NodeContext) -> None:
    """Repeats are a factor in front of the axis; both may be cut if they are constants."""
    dims, shape = node.dims(0), node.out_shape()
    out: list[Dim] = []
    entries: list[Dim | None] = []
    for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if dim.size == size:
            out.append(dim)
            entries.append(None)
        elif dim.size == 1 and not node.is_dynamic(axis):
            out.append(node.solver.fresh(size))
            entries.append(out[-1])
        else:
            why = f"repeats made by {node.where}"
            fixed = node.is_dynamic(axis)
            repeats = node.fixed(size // dim.size, why) if fixed else node.solver.fresh(size // dim.size)
            out.append(multiply([repeats, dim]))
            entries.append(None if fixed else repeats)
    node.sizes_input(1, entries)
    node.set(0, out)


def _concat(node: NodeContext) -> None:
    """`a, b -> a + b` along the axis; the others are the same in all operands."""
    operands = [node.dims(k) for k in range(node.count()) if node.has(k)]
    axis = node.axis(int(node.attribute("axis", 0)), len(operands[0]))
    rest = node.same([(*d[:axis], Const(1), *d[axis + 1 :]) for d in operands])
    why = f"a single slot joined by {node.where}"
    parts = [node.solver.resolve(d[axis]) for d in operands]
    if len(parts) > 1 and len(rest) > 1 and all(p.size == 1 for p in parts) and not node.is_dynamic(axis):
        joined = node.solver.fresh(len(parts))
        node.kind(joined, "experts")
        node.say(Joined(node.name, joined))
    else:
        joined = add(node.fixed(1, why) if part == Const(1) else part for part in parts)
    node.set(0, [*rest[:axis], joined, *rest[axis + 1 :]])


def _split(node: NodeContext) -> None:
    """`a + b -> a, b` along the axis."""
    dims = list(node.dims(0))
    axis = node.axis(int(node.attribute("axis", 0)), len(dims))
    sizes = [node.out_shape(k)[axis] for k in range(len(node.output_shapes))]
    if sum(sizes) != dims[axis].size:
        raise Barrier(f"the pieces of {node.where} do not add up")
    pieces = node.pieces(dims[axis], sizes)
    for index, piece in enumerate(pieces):
        node.set(index, [*dims[:axis], piece, *dims[axis + 1 :]])
    if not any(node.is_dynamic(axis, k) for k in range(len(sizes))):
        node.say(SplitSizes(node.name, tuple(pieces)))


def _slice(node: NodeContext) -> None:
    """One piece of a concatenation, a reversal, or one part of every block of a stride."""
    dims, shape = list(node.dims(0)), node.out_shape()
    rank = len(dims)
    starts, ends = node.ints(1, "starts"), node.ints(2, "ends")
    axes = node.ints(3, "axes")
    steps = node.ints(4) if node.has(4) else None
    if axes is None:
        if node.has(3):
            raise Barrier(f"the axes of {node.where} are computed at run time")
        axes = list(range(len(starts) if starts is not None else rank))
    along = [dims[node.axis(a, rank)] for a in axes]  # positions may be counted from the end
    begin: list[Entry | Dim | None] = [None] * len(axes)
    stop: list[Entry | Dim | None] = [None] * len(axes)
    for k, raw in enumerate(axes):
        axis = node.axis(raw, rank)
        dim = dims[axis]
        if dim.size == shape[axis] and (steps is None or steps[k] == 1):
            continue
        if starts is None or ends is None or (node.has(4) and steps is None) or node.is_dynamic(axis):
            node.freeze(dim, f"cut at a place computed at run time by {node.where}")
            dims[axis] = node.fixed(shape[axis])
            continue
        step = steps[k] if steps else 1
        if (
            isinstance(dim, Atom)
            and shape[axis] == 1
            and node.has(1)
            and len(axes) == 1
            and node.competes(dim)
        ):
            _slice_slot(node, dim, slice(starts[0], ends[0], step).indices(dim.size)[0])
            dims[axis] = node.fixed(1)
            continue
        dims[axis], begin[k], stop[k] = _slice_axis(node, dim, starts[k], ends[k], step)
    if any(e is not None for e in (*begin, *stop)):
        if node.has(1):
            node.sizes_input(1, begin, along)
            node.sizes_input(2, stop, along)
        else:
            node.sizes_attribute("starts", begin, along=along)
            node.sizes_attribute("ends", stop, along=along)
    node.set(0, dims)


def _slice_slot(node: NodeContext, dim: Dim, slot: int) -> None:
    """One expert's slot, from its position to the next."""
    node.branch(dim, slot)
    for index in (1, 2):
        node.say(InputPositions(node.name, index, dim, np.array([slot]), offset=index - 1))


def _slice_axis(
    node: NodeContext, dim: Dim, start: int, end: int, step: int
) -> tuple[Dim, Entry | None, Entry | None]:
    """What is taken, and where it starts and ends in terms of dimensions."""
    first, last, step = slice(start, end, step).indices(dim.size)
    index = np.arange(first, last, step)
    if isinstance(dim, Const):
        return Const(len(index), dim.why), None, None
    if step == 1:
        before, taken = node.middle(dim, first, last)
        return taken, prefix(before), prefix(before, taken)
    if step == -1 and len(index) == dim.size:  # reversed: any subset may stay
        return take(node.solver.resolve(dim), index), Entry(dim, -1), None
    if step > 1 and dim.size % step == 0 and first < step and len(index) == dim.size // step:
        rows, inner = node.solver.factor(dim, dim.size // step)
        node.freeze(inner, f"one slot in {step} is taken by {node.where}")
        return node.solver.resolve(rows), Entry(Const(0), first), prefix(dim)
    node.freeze(dim, f"one slot in {abs(step)} of a part is taken by {node.where}")
    return Const(len(index), f"taken with steps by {node.where}"), None, None


def _gather(node: NodeContext) -> None:
    """A constant index picks slots, which may be cut; any other index freezes the axis."""
    dims = list(node.dims(0))
    axis = node.axis(int(node.attribute("axis", 0)), len(dims))
    index, where = node.value(1), node.dims(1)
    dim = dims[axis]
    if len(dims) == 1 and _counts_up(node.values(1), dim.size):
        _regroup_by_index(node)
        return
    if (pointed := node.pointed(1)) is not None and pointed.size == dim.size:
        _by_position(node, dim, pointed)
        node.set(0, [*dims[:axis], *where, *dims[axis + 1 :]])
        return
    if index is None and isinstance(dim, Atom) and node.is_constant(0) and node.holds_ids(1):
        node.say(Lookup(node.name, 1, dim))
        node.kind(dim, "vocabulary")
        node.set(0, [*dims[:axis], *where, *dims[axis + 1 :]])
        return
    if not _single_row(index):
        node.freeze(
            dim,
            f"looked up with an index {'computed at run time' if index is None else 'table'} by {node.where}",
        )
        node.set(0, [*dims[:axis], *where, *dims[axis + 1 :]])
        return
    node.set(0, [*dims[:axis], *_picked(node, dim, where), *dims[axis + 1 :]])


def _single_row(index: NDArray[np.generic] | None) -> bool:
    """True if an index is known and lies along one axis at most."""
    return index is not None and 0 < index.size == max(index.shape, default=1)


def _picked(node: NodeContext, dim: Dim, where: Sequence[Dim]) -> list[Dim]:
    """What a constant index (input 1) picks of `dim`, as the axes `where` of the index."""
    index = node.value(1)
    assert index is not None
    places = index.astype(np.int64)
    places = np.where(places < 0, places + dim.size, places)
    node.say(InputPositions(node.name, 1, dim, places))
    if places.size == 1:
        if isinstance(dim, Atom) and node.competes(dim):
            node.branch(dim, int(places.ravel()[0]))
        else:
            _taken(node, dim, np.ravel(places))
        return [node.fixed(1) for _ in where]
    taken = _taken(node, dim, np.ravel(places))
    return [taken if d.size > 1 else node.fixed(1) for d in where]


def _by_position(node: NodeContext, dim: Dim, pointed: Dim) -> None:
    """Rows picked by positions that are known to be positions along `dim`: the choice among experts."""
    node.solver.unify(dim, pointed)
    if node.is_constant(0):
        node.kind(dim, "experts")
        for other in node.dims(0):
            node.kind(other, "neurons")  # for what meets it behind is no attention


def _counts_up(runs: Sequence[NDArray[np.generic]], size: int) -> bool:
    """True if an index took every slot in order, whatever the sizes of the inputs."""
    return (
        bool(runs)
        and runs[0].size == size
        and all(np.array_equal(np.ravel(r), np.arange(r.size)) for r in runs)
    )


def _regroup_by_index(node: NodeContext) -> None:
    """What exporters make of `as_strided`: a Gather that does the work of a Reshape."""
    after = node.reshaped(node.dims(0), node.out_shape())
    moving = [k for k in range(len(after)) if node.is_dynamic(k)]
    if len(moving) > 1:
        raise Barrier("it regroups several axes of changing size by index")
    node.say(Regrouping(node.name, after, moving[0] if moving else None))
    node.set(0, after)


def _taken(node: NodeContext, dim: Dim, index: NDArray[np.int64]) -> Dim:
    """Runs of neighbours become pieces of a concatenation; a wild order is kept as an index."""
    if isinstance(dim, Const):
        return Const(len(index), dim.why)
    if len(index) == 1 and any(isinstance(t, Product) for t in terms_of(dim)):
        node.freeze(dim, f"one slot is picked by {node.where}")
        return Const(1, f"picked by {node.where}")
    ends = np.flatnonzero(np.diff(index) != 1) + 1
    lengths = np.diff(ends, prepend=0, append=len(index))
    if len(ends) >= 16 or (len(ends) and lengths.min() == 1):  # counted first: a table has thousands of runs
        return node.solver.pick(dim, index)
    runs = np.split(index, ends)
    for run in runs:  # refine first: later cuts move earlier pieces
        node.middle(dim, int(run[0]), int(run[-1]) + 1)
    return add(node.middle(dim, int(run[0]), int(run[-1]) + 1)[1] for run in runs)


def _gather_nd(node: NodeContext) -> None:
    """The leading axes are picked by value; what is copied whole passes through."""
    dims, index = node.dims(0), node.dims(1)
    batch = int(node.attribute("batch_dims", 0))
    picked = batch + index[-1].size
    if picked == 1 and (pointed := node.pointed(1)) is not None and pointed.size == dims[0].size:
        _by_position(node, dims[0], pointed)
        node.set(0, [*index[:-1], *dims[1:]])
        return
    if batch == 0 and picked == 1 and _single_row(node.value(1)):
        node.set(0, [*_picked(node, dims[0], index[:-1]), *dims[1:]])
        return
    for dim, other in zip(dims[:batch], index[:batch], strict=True):
        node.solver.unify(dim, other)
    for dim in dims[batch:picked]:
        node.freeze(dim, f"slots are picked by value by {node.where}")
    node.set(0, [node.solver.resolve(d) for d in (*index[:-1], *dims[picked:])])


def _scatter_nd(node: NodeContext) -> None:
    """Places along leading axes, told apart; constant ones of the first may be cut. The other axes agree."""
    dims, index, updates = node.dims(0), node.dims(1), node.dims(2)
    picked, places = index[-1].size, node.value(1)
    node.same([dims[picked:], updates[len(index) - 1 :]])
    if picked == 1 and places is not None and places.ndim == 2 and len(np.unique(places)) == places.size:
        given = places.astype(np.int64)
        given = np.where(given < 0, given + dims[0].size, given)
        node.say(InputPositions(node.name, 1, dims[0], given))
        node.solver.unify(updates[0], _taken(node, node.solver.resolve(dims[0]), np.ravel(given)))
        node.set(0, node.dims(0))
        return
    for dim in dims[:picked]:
        node.freeze(dim, f"slots are written by value by {node.where}")
    for dim in (*index[:-1], *updates[: len(index) - 1]):
        node.freeze(dim, f"says where to write in {node.where}")  # not to write is not to write zeros
    node.same([index[:-1], updates[: len(index) - 1]])
    node.set(0, node.dims(0))


def _by_element(node: NodeContext) -> None:
    """GatherElements and its inverse: one axis by value, the others side by side."""
    dims, index = node.dims(0), node.dims(1)
    axis = node.axis(int(node.attribute("axis", 0)), len(dims))
    others = [node.dims(k) for k in range(1, node.count())]
    pointed = node.pointed(1)
    for k, dim in enumerate(dims):
        if k == axis and pointed is not None and pointed.size == dim.size:
            node.solver.unify(dim, pointed)
            node.silent(pointed, like=0)  # never written there
            for places in others:
                node.freeze(places[k], f"places of what {node.where} picks")
        elif k == axis or any(o[k].size != dim.size for o in others):
            for each in (dim, *(o[k] for o in others)):
                node.freeze(each, f"slots are picked by value by {node.where}")
        else:
            for other in others:
                node.solver.unify(dim, other[k])
    made = index if node.op == "GatherElements" else dims
    node.set(0, [node.solver.resolve(d) for d in made])


def _compress(node: NodeContext) -> None:
    """A constant condition chooses slots, which may be cut; any other freezes the axis, without one all."""
    dims, chosen = list(node.dims(0)), node.value(1)
    if node.attribute("axis") is None:
        if chosen is None:
            raise Barrier("its output depends on values")
        axis, dims = 0, [multiply(dims)]
    else:
        axis = node.axis(int(node.attribute("axis")), len(dims))
    dim = dims[axis]
    if chosen is None or not 0 < np.count_nonzero(chosen) <= chosen.size <= dim.size:
        node.freeze(dim, f"slots are chosen by value by {node.where}")
        dims[axis] = node.fixed(node.out_shape()[axis])
    else:
        said, _ = node.solver.split(dim, chosen.size)  # what lies behind the condition is not chosen
        node.solver.unify(node.dims(1)[0], said)
        dims[axis] = _taken(node, node.solver.resolve(dim), np.flatnonzero(chosen))
    node.set(0, [node.solver.resolve(d) for d in dims])


def _pad(node: NodeContext) -> None:
    """Constant padding adds new slots at both ends of an axis; they may be cut like any other."""
    dims, shape = list(node.dims(0)), node.out_shape()
    amounts = node.ints(1, "pads")
    axes = node.ints(3) if node.has(3) else list(range(len(dims)))
    constant = node.attribute("mode", "constant") in ("constant", b"constant")
    if amounts is None or axes is None:
        for axis, dim in enumerate(dims):
            if dim.size != shape[axis] or amounts is None:
                node.freeze(dim, f"padded by an amount computed at run time by {node.where}")
        node.set(0, [d if d.size == s else node.fixed(s) for d, s in zip(dims, shape, strict=True)])
        return
    axes = [node.axis(a, len(dims)) for a in axes]
    entries: list[Dim | None] = [None] * len(amounts)
    for k, axis in enumerate(axes):
        before, after = amounts[k], amounts[k + len(axes)]
        dim = dims[axis]
        if not before and not after:
            continue
        if not constant or before < 0 or after < 0 or not dim.atoms:
            node.freeze(dim, f"padded by {node.where}")
            dims[axis] = node.fixed(shape[axis])
            continue
        ends = [node.solver.fresh(n) if n else Const(0) for n in (before, after)]
        entries[k], entries[k + len(axes)] = ends[0], ends[1]
        dims[axis] = add([ends[0], dim, ends[1]])
    if any(e is not None for e in entries):
        node.sizes_input(1, entries) if node.has(1) else node.sizes_attribute("pads", entries)
    node.set(0, dims)


def _resize(node: NodeContext) -> None:
    """Axes that keep their size pass through; the others are spatial."""
    dims, shape = node.dims(0), node.out_shape()
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        axes = node.attribute("axes") or range(len(dims))
        for axis in axes:
            node.freeze(dims[node.axis(int(axis), len(dims))], f"scaled with the others by {node.where}")
    sizes = 3 if node.op == "Resize" and node.version >= 11 else None
    out: list[Dim] = []
    for dim, size in zip(dims, shape, strict=True):
        if dim.size == size:
            out.append(dim)
        else:
            node.freeze(dim, f"resized by {node.where}")
            out.append(node.fixed(size, f"a spatial axis of {node.where}"))
    if sizes is not None and node.has(sizes):
        axes = node.attribute("axes")
        listed = range(len(dims)) if axes is None else [node.axis(int(a), len(dims)) for a in axes]
        node.sizes_input(sizes, [dims[k] if dims[k].size == shape[k] else None for k in listed])
    node.set(0, out)


def _shape(node: NodeContext) -> None:
    """Readers go on seeing the sizes of the original model."""
    dims = node.dims(0)
    if node.op == "Shape":
        start, end, _ = slice(node.attribute("start"), node.attribute("end")).indices(len(dims))
        dims = dims[start:end]
    node.say(ShapeOf(node.name, tuple(dims)))
    node.set(0, [node.fixed(s) for s in node.out_shape()])


def _separate(node: NodeContext) -> None:
    """Outputs that have nothing to do with slots: ranges, counters, random numbers."""
    for index, shape in enumerate(node.output_shapes):
        if shape is not None:
            node.set(index, [node.fixed(s) for s in shape])


def _multinomial(node: NodeContext) -> None:
    """Classes are drawn by their probability."""
    batch, classes = node.dims(0)
    node.freeze(classes, f"drawn from by {node.where}")
    node.set(0, [batch, node.fixed(node.out_shape()[1])])


def _triangle(node: NodeContext) -> None:
    """Rows and columns are compared; batch axes pass through."""
    *batch, rows, columns = node.dims(0)
    for dim in (rows, columns):
        node.freeze(dim, f"positions are compared by {node.where}")
    node.set(0, [*batch, rows, columns])


def _grid_sample(node: NodeContext) -> str:
    """`n c *s, n *t _ -> n c *t`: channels pass through."""
    return "n c *!s, n *!t _ -> n c *!t"


def _one_hot(node: NodeContext) -> None:
    """The new axis tells classes apart: the dimension that the positions are along, if that is known."""
    dims, shape = list(node.dims(0)), node.out_shape()
    axis = node.axis(int(node.attribute("axis", -1)), len(shape))
    pointed = node.pointed(0)
    if pointed is not None and pointed.size <= shape[axis]:
        more = shape[axis] - pointed.size
        node.sizes_input(1, [Entry(pointed, more)])
        node.silent(pointed)
        classes = add([pointed, node.fixed(more, f"a class that {node.where} never sees")])
        node.set(0, [*dims[:axis], classes, *dims[axis:]])
        return
    node.set(0, [*dims[:axis], node.fixed(shape[axis], f"classes told apart by {node.where}"), *dims[axis:]])


def _reverse(node: NodeContext) -> None:
    """Steps are turned round as far as each sequence is long."""
    dims = node.dims(0)
    for name, default in (("batch_axis", 1), ("time_axis", 0)):
        node.freeze(dims[int(node.attribute(name, default))], f"steps of sequences in {node.where}")
    node.set(0, dims)


def _scatter_steps(node: NodeContext) -> None:
    """New steps are written into a cache; all other axes agree."""
    cache, update = node.dims(0), node.dims(1)
    axis = node.axis(int(node.attribute("axis", -2)), len(cache))
    for dim in (cache[0], cache[axis], update[axis]):
        node.freeze(dim, f"steps of a cache in {node.where}")
    for k in range(len(cache)):
        if k != axis:
            node.solver.unify(cache[k], update[k])
    node.set(0, node.dims(0))


def _center(node: NodeContext) -> None:
    """Axes that keep their size pass through; the others are cropped or padded."""
    dims, shape = node.dims(0), node.out_shape()
    axes = node.attribute("axes")
    listed = [node.axis(int(a), len(dims)) for a in axes] if axes is not None else list(range(len(dims)))
    for axis in listed:
        if dims[axis].size != shape[axis] or node.is_dynamic(axis):
            node.freeze(dims[axis], f"cropped or padded by {node.where}")
    node.sizes_input(1, [dims[a] if dims[a].size == shape[a] else None for a in listed])
    node.set(0, [d if d.size == s else node.fixed(s) for d, s in zip(dims, shape, strict=True)])


def _columns(node: NodeContext) -> None:
    """`n (c !k) !l -> n c *s`: patches are summed where they overlap."""
    batch, rows, patches = node.dims(0)
    shape = node.out_shape()
    channels, inside = node.solver.factor(rows, shape[1])
    node.freeze(inside, f"places inside a patch of {node.where}")
    node.freeze(patches, f"patches of {node.where}")
    node.set(0, [batch, node.solver.resolve(channels), *(node.fixed(s) for s in shape[2:])])


def _transformed(node: NodeContext) -> None:
    """One axis is transformed, with the real and imaginary parts in the last; the others pass through."""
    dims, shape = list(node.dims(0)), node.out_shape()
    if node.version < 20:
        axis = int(node.attribute("axis", 1))
    else:
        given = node.ints(2) if node.has(2) else [-2]
        if given is None:
            raise Barrier(f"the axis of {node.where} is computed at run time")
        axis = given[0]
    for k in (node.axis(axis, len(dims)), len(dims) - 1):
        node.freeze(dims[k], f"transformed by {node.where}")
        dims[k] = node.fixed(shape[k])
    node.set(0, dims)


def _eye_like(node: NodeContext) -> None:
    """Rows and columns are compared."""
    for dim in node.dims(0):
        node.freeze(dim, f"positions are compared by {node.where}")
    node.set(0, node.dims(0))


RULES = {
    "Transpose": rule(_transpose, "keep"),
    "Squeeze": rule(regroup, "keep"),
    "Unsqueeze": rule(regroup, "keep"),
    "Flatten": rule(regroup, "keep"),
    "Reshape": rule(_reshape, "keep"),
    "Expand": rule(_expand, "keep"),
    "ConstantOfShape": rule(_constant_of_shape, "keep"),
    "Tile": rule(_tile, "keep"),
    "Concat": rule(_concat, "keep"),
    "Split": rule(_split, "keep"),
    "Slice": rule(_slice, "keep"),
    "Gather": rule(_gather, "keep"),
    "GatherND": rule(_gather_nd, "keep"),
    "ScatterND": rule(_scatter_nd, "any", aside=(1,)),
    "GatherElements": rule(_by_element, "keep"),
    "ScatterElements": rule(_by_element, "any"),
    "Scatter": rule(_by_element, "any"),
    "Compress": rule(_compress, "keep"),
    "Pad": rule(_pad, "keep"),
    "Resize": rule(_resize, "keep"),
    "Upsample": rule(_resize, "keep"),
    "Shape": rule(_shape, "lift"),
    "Size": rule(_shape, "lift"),
    "GridSample": rule(_grid_sample, "keep"),
    "RoiAlign": rule("n c *!s, m _, m -> m c *!t", "keep"),
    "MaxRoiPool": rule("n c *!s, m _ -> m c *!t", "keep"),
    "Trilu": rule(_triangle, "keep"),
    "OneHot": rule(_one_hot, "lift"),
    **{
        op: rule(_separate, "lift")
        for op in (
            *("BlackmanWindow", "Constant", "HammingWindow", "HannWindow", "MelWeightMatrix"),
            *("RandomNormal", "RandomUniform", "Range"),
        )
    },
    "ReverseSequence": rule(_reverse, "keep"),
    "TensorScatter": rule(_scatter_steps, "any", aside=(2,)),
    "CenterCropPad": rule(_center, "keep"),
    "Col2Im": rule(_columns, "keep"),
    "Det": rule("*b !m !n -> *b", "keep"),
    "DFT": rule(_transformed, "keep"),
    "EyeLike": rule(_eye_like, "lift"),
    "Multinomial": rule(_multinomial, "lift"),
}
