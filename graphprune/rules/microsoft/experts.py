"""Mixtures of experts as one operator: the inner width of all experts is one dimension."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.elementwise import in_blocks
from graphprune.rules.microsoft.blocks import packed
from graphprune.rules.rule import rule

_GATED = ("swiglu", "geglu")


def _experts(node: NodeContext) -> None:
    """`*b h, t e, e i h, e i, e h i, e h, e i h, e i -> *b h`; with a fused gate the rows are pairs."""
    hidden = node.dims(0)[-1]
    _, experts = node.dims(1)
    node.freeze(experts, f"experts are chosen by value by {node.where}")
    inner = node.dims(4)[2]
    for index in (2, 6):
        if node.has(index):
            node.solver.unify(node.dims(index)[0], experts)
            node.solver.unify(_inner(node, index, node.dims(index)[1]), inner)
            node.solver.unify(node.dims(index)[2], hidden)
    node.solver.unify(node.dims(4)[0], experts)
    node.solver.unify(node.dims(4)[1], hidden)
    for index in (3, 5, 7):
        if node.has(index):
            node.solver.unify(node.dims(index)[0], experts)
    for index in (3, 7):
        if node.has(index):
            node.solver.unify(_inner(node, index, node.dims(index)[1]), inner)
    if node.has(5):
        node.solver.unify(node.dims(5)[1], hidden)
    node.contract(inner, 4)
    node.contract(hidden, 0, 2)
    node.set(0, node.dims(0))


def _inner(node: NodeContext, index: int, rows: Dim) -> Dim:
    """The inner width of an expert; a fused gate stands beside it, or before all of it."""
    if index in (6, 7, 8, 9, 10, 13) or str(node.attribute("activation_type", "relu")) not in _GATED:
        return rows
    fusion = int(node.attribute("swiglu_fusion", 0))
    if not fusion:
        return rows
    if fusion == 1:
        inner, two = node.solver.factor(rows, rows.size // 2)
    else:
        two, inner = node.solver.factor(rows, 2)
    node.freeze(two, f"gate and value of {node.where}")
    return node.solver.resolve(inner)


def _quantised(node: NodeContext) -> None:
    """Like MoE with packed integers: the inner width can go, as far as whole bytes and blocks allow."""
    if str(node.attribute("quant_type", "int")) != "int" or int(node.attribute("weights_prepacked", 0)) > 0:
        raise Barrier("its weights are packed in a layout that only one device knows")
    for index in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13):
        if node.has(index):
            node.freeze(node.dims(index)[0], f"experts are chosen by value by {node.where}")
    hidden = node.dims(0)[-1]
    node.freeze(hidden, f"packed in bytes by {node.where}")
    node.freeze(node.dims(1)[1], f"experts are chosen by value by {node.where}")
    inner = _inner(node, 2, node.dims(2)[1])
    for index in (3, 4, 8, 9, 10):
        if node.has(index):
            node.solver.unify(_inner(node, index, node.dims(index)[1]), inner)
    for index in (2, 3, 8, 9):
        for dim in node.dims(index)[2:] if node.has(index) else ():
            node.freeze(dim, f"packed in bytes by {node.where}")
    for index in (5, 6, 7):
        if node.has(index):
            node.solver.unify(node.dims(index)[1], hidden)
    packed(node, inner, node.dims(5)[2], "numbers")
    if node.rank(6) == 3:
        size = int(node.attribute("block_size"))
        blocks = in_blocks(node, node.solver.resolve(inner), size)
        node.solver.unify(blocks, node.dims(6)[2])
    _zero_points(node, inner)
    node.contract(node.solver.resolve(inner), 3)  # the scales are what the oracle zeroes
    node.set(0, node.dims(0))


def _zero_points(node: NodeContext, inner: Dim) -> None:
    """Rows of the first and third products, columns of the second, several to a byte."""
    for index, weight in ((11, 2), (13, 8)):
        if node.has(index):
            rows, zeros = node.dims(weight)[1], node.dims(index)
            packed(node, rows, zeros[1], "zero points")
            for dim in zeros[2:]:
                node.freeze(dim, f"packed in bytes by {node.where}")
    if node.has(12):
        zeros = node.dims(12)
        for dim in zeros[1:2]:
            node.freeze(dim, f"packed in bytes by {node.where}")
        if len(zeros) == 3:
            packed(node, node.dims(6)[2], zeros[2], "zero points")


RULES = {
    "MoE": rule(_experts, "all", added=(5,)),
    "QMoE": rule(_quantised, "lift", unmasked=(2, 5, 8, 11, 12, 13)),
}
