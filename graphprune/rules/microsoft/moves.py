"""Operators that exist in the default domain too, and others that only move slots."""

from __future__ import annotations

from graphprune.dims import Const, Dim, multiply
from graphprune.rules import shaping
from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def _unfold(node: NodeContext) -> None:
    """Windows along one axis; the others pass through."""
    dims = list(node.dims(0))
    axis = node.axis(int(node.attribute("dim", -1)), len(dims))
    node.freeze(dims[axis], f"windows are taken by {node.where}")
    shape = node.out_shape()
    dims[axis] = node.fixed(shape[axis])
    node.set(0, [*dims, node.fixed(shape[-1])])


def _distance(node: NodeContext) -> None:
    """`m k, n k -> m n`: slots that hold zero in both add nothing to a distance."""
    (rows, width), (others, other) = node.dims(0), node.dims(1)
    node.solver.unify(width, other)
    node.contract(width, 0)
    node.contract(width, 1)
    node.set(0, [rows, others])


def _gated_sum(node: NodeContext) -> str:
    """`x + y * gate`: one gate for each row, or a projection that makes it."""
    return "*b c, *b c, *b k, k _ -> *b c" if node.has(3) else "*b c, *b c, *b _ -> *b c"


def _streams(node: NodeContext, grouped: bool) -> tuple[list[Dim], Dim, Dim]:
    """The axes before several streams, the streams, and their width; both may share the last axis."""
    *batch, branches, width = node.dims(0) if grouped else (*node.dims(0), Const(1))
    if not grouped:
        branches, width = node.solver.factor(branches, int(node.attribute("num_branches", 1)))
    node.freeze(branches, f"streams that are mixed by {node.where}")
    return batch, node.solver.resolve(branches), node.solver.resolve(width)


def _gates(node: NodeContext, index: int, batch: list[Dim], branches: Dim, width: Dim) -> None:
    """One gate for each stream, or for each of its slots."""
    gates = node.dims(index)
    if len(gates) == len(batch) + 2:
        node.same([[*batch, branches, width], gates])
    else:
        slots = multiply([branches, width])
        node.same([[*batch, branches if gates[-1].size == branches.size else slots], gates])


def _fewer_streams(node: NodeContext) -> None:
    """`*b c h, *b c -> *b h`: a sum of all streams, each times its gates."""
    batch, branches, width = _streams(node, len(node.out_shape()) < node.rank(0))
    _gates(node, 1, batch, branches, width)
    node.set(0, [node.solver.resolve(d) for d in (*batch, width)])


def _mixed_streams(node: NodeContext) -> None:
    """`*b c h, *b h, *b c, *b c c -> *b c h`: streams mixed with each other, and one result added to each."""
    batch, branches, width = _streams(node, node.rank(0) > node.rank(1))
    node.same([[*batch, width], node.dims(1)])
    _gates(node, 2, batch, branches, node.solver.resolve(width))
    if node.has(3):
        node.same([[*batch, branches, branches], node.dims(3)])
    node.set(0, node.dims(0))


RULES = {
    **{op: shaping.RULES[op] for op in ("GatherND", "GridSample", "Pad", "Range", "Trilu")},
    "ExpandDims": rule(shaping.regroup, "keep"),
    "UnfoldTensor": rule(_unfold, "keep"),
    "CDist": rule(_distance, "lift"),
    "CropAndResize": rule("n c *!s, m _, m, _ -> m c *!t", "keep"),
    "HyperConnectionPreMix": rule(_fewer_streams, "all"),
    "HyperConnectionPostMix": rule(_mixed_streams, "any", aside=(2, 3)),
    "GatedAdd": rule(_gated_sum, "any", aside=(2, 3)),
}
