"""Operators that exist in the default domain too, and others that only move slots."""

from __future__ import annotations

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


RULES = {
    **{op: shaping.RULES[op] for op in ("GatherND", "GridSample", "Pad", "Range", "Trilu")},
    "ExpandDims": rule(shaping.regroup, "keep"),
    "UnfoldTensor": rule(_unfold, "keep"),
    "CDist": rule(_distance, "lift"),
    "CropAndResize": rule("n c *!s, m _, m, _ -> m c *!t", "keep"),
    "GatedAdd": rule(_gated_sum, "any", aside=(2, 3)),
}
