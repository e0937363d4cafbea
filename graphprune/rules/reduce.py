"""Pooling and reductions: what is summed, what is averaged, what is compared."""

from __future__ import annotations

from collections.abc import Callable

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.conv import spaces
from graphprune.rules.rule import rule


def _axes(node: NodeContext) -> list[int]:
    rank = node.rank(0)
    axes = node.ints(1, "axes")
    if axes is None:
        if node.has(1):
            raise Barrier(f"the axes of {node.where} are computed at run time")
        return [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))
    if not axes and node.has(1):
        return [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return [node.axis(a, rank) for a in axes]


def _reduction(role: str) -> Callable[[NodeContext], None]:
    def relate(node: NodeContext) -> None:
        """Reduced axes vanish; the others pass through."""
        dims, axes = node.dims(0), _axes(node)
        if (
            node.op == "ReduceMax" and len(axes) == 1 and node.competes(dims[axes[0]])
        ):  # the best of some shares
            node.alternatives(axes[0], f"compared slot by slot by {node.where}", softly=True)
        else:
            for axis in axes:
                _role(node, dims[axis], role)
        keep = bool(node.attribute("keepdims", 1))
        node.set(0, without(node, dims, axes, keep))

    return relate


def _role(node: NodeContext, dim: Dim, role: str) -> None:
    if role == "sum":
        node.contract(dim, 0)
    elif role == "mean":
        node.normalise(dim)
    elif role == "compare":
        node.compare(dim)
    else:
        node.freeze(dim, f"compared slot by slot by {node.where}")


def without(node: NodeContext, dims: tuple[Dim, ...], axes: list[int], keep: bool) -> list[Dim]:
    """`dims` without the axes, or with axes of size 1 in their place."""
    if keep:
        return [node.fixed(1) if k in axes else d for k, d in enumerate(dims)]
    return [d for k, d in enumerate(dims) if k not in axes]


def _global(role: str) -> Callable[[NodeContext], None]:
    def relate(node: NodeContext) -> None:
        """A reduction of all axes behind the channels; some exporters write a mean over the last axis so."""
        dims = node.dims(0)
        for dim in dims[2:]:
            _role(node, dim, role)
        node.set(0, without(node, dims, list(range(2, len(dims))), True))

    return relate


def _arg(node: NodeContext) -> None:
    """Slots along the axis compete; the result is a position among them."""
    dims = node.dims(0)
    axis = node.axis(int(node.attribute("axis", 0)), len(dims))
    node.alternatives(axis, f"compared slot by slot by {node.where}", lowest=node.op == "ArgMax")
    node.point(0, dims[axis])
    node.set(0, without(node, dims, [axis], bool(node.attribute("keepdims", 1))))


def _along(default: int, why: str) -> Callable[[NodeContext], None]:
    """One axis (from an older opset on all behind it) whose slots are told apart; shapes stay."""

    def relate(node: NodeContext) -> None:
        """Slots along the axis are told apart; shapes stay."""
        dims = node.dims(0)
        if node.op in ("Softmax", "LogSoftmax", "Hardmax") and node.version < 13:
            first = node.axis(int(node.attribute("axis", 1)), len(dims))
            chosen = dims[first:]
        else:
            value = (
                node.ints(1) if node.op in ("CumSum", "CumProd") else [int(node.attribute("axis", default))]
            )
            if value is None:
                raise Barrier(f"the axis of {node.where} is computed at run time")
            axis = node.axis(value[0], len(dims))
            chosen = (dims[axis],)
            if node.op in ("Softmax", "Hardmax"):  # a slot at minus infinity has no share
                node.alternatives(axis, f"{why} {node.where}", softly=node.op == "Softmax")
                node.silent(dims[axis])
                chosen = ()
        for dim in chosen:
            node.freeze(dim, f"{why} {node.where}")
        for index, shape in enumerate(node.output_shapes):
            if shape is not None:
                node.set(index, dims)

    return relate


def _top_k(node: NodeContext) -> None:
    """Slots along the axis compete, the best have a place and a position; the other axes pass through."""
    dims = list(node.dims(0))
    axis = node.axis(int(node.attribute("axis", -1)), len(dims))
    count, lowest = node.out_shape()[axis], bool(node.attribute("largest", 1))
    if node.is_dynamic(axis):
        node.freeze(dims[axis], f"sorted by {node.where}")
    else:
        node.alternatives(axis, f"sorted by {node.where}", least=count, lowest=lowest)
    if len(node.points) > 1:
        node.point(1, dims[axis])
    for index, shape in enumerate(node.output_shapes):
        if shape is not None:
            node.set(index, [*dims[:axis], node.fixed(shape[axis]), *dims[axis + 1 :]])


def _pool(node: NodeContext) -> str:
    """`n c *!s -> n c *!t`: channels pass through; a kernel of 1 lets its axis pass through as well."""
    # The positions that MaxPool can give back count the elements of all channels.
    channels = "!c" if len(node.output_shapes) > 1 and node.output_shapes[1] is not None else "c"
    s, t = spaces(node, node.attribute("kernel_shape"))
    return f"n {channels} {s} -> n c {t}, n c {t}"


RULES = {
    **{op: rule(_pool, "keep") for op in ("MaxPool", "AveragePool", "LpPool")},
    "GlobalAveragePool": rule(_global("mean"), "keep"),
    "GlobalLpPool": rule(_global("sum"), "keep"),
    "GlobalMaxPool": rule(_global("compare"), "keep"),
    **{
        op: rule(_reduction("sum"), "keep") for op in ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    },
    "ReduceMean": rule(_reduction("mean"), "keep"),
    **{op: rule(_reduction("compare"), "keep") for op in ("ReduceMax", "ReduceMin")},
    **{op: rule(_reduction("mix"), "lift") for op in ("ReduceProd", "ReduceLogSum", "ReduceLogSumExp")},
    **{op: rule(_arg, "lift") for op in ("ArgMax", "ArgMin")},
    **{
        op: rule(_along(-1, "compared slot by slot by"), "lift")
        for op in ("Softmax", "LogSoftmax", "Hardmax")
    },
    "CumSum": rule(_along(0, "summed up slot by slot by"), "keep"),
    "CumProd": rule(_along(0, "multiplied up slot by slot by"), "lift"),
    "TopK": rule(_top_k, "lift"),
}
