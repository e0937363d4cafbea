"""Mixtures of experts as one operator: the inner width of all experts is one dimension."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.effects import Alternatives, Mixed
from graphprune.rules.elementwise import in_blocks
from graphprune.rules.microsoft.blocks import packed
from graphprune.rules.rule import rule

_GATED = ("swiglu", "geglu")


def _compete(node: NodeContext) -> Dim:
    """The experts, of which the second input has the scores: the best of those that are left are chosen."""
    rows, experts = node.dims(1)
    why = f"experts are chosen by value by {node.where}"
    if node.attribute("use_sparse_mixer", 0):  # it divides by the scores
        node.freeze(experts, why)
    else:
        node.say(Alternatives(node.name, 1, 1, 2, experts, why, least=int(node.attribute("k", 1))))
        node.kind(experts, "experts")
        if rows.atoms:
            node.say(Mixed(experts))
    return experts


def _experts(node: NodeContext) -> None:
    """`*b h, t e, e i h, e i, e h i, e h, e i h, e i -> *b h`; with a fused gate the rows are pairs."""
    hidden, experts = node.dims(0)[-1], _compete(node)
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
    """Like MoE with packed integers: both widths can go, as far as whole bytes and blocks allow."""
    if str(node.attribute("quant_type", "int")) != "int" or int(node.attribute("weights_prepacked", 0)) > 0:
        raise Barrier("its weights are packed in a layout that only one device knows")
    experts = _compete(node)
    for index in range(2, 14):
        if node.has(index):
            node.solver.unify(node.dims(index)[0], experts)
    if node.has(14):
        node.solver.unify(node.dims(14)[1], experts)
    inner = _inner(node, 2, node.dims(2)[1])
    for index in (3, 4, 8, 9, 10):
        if node.has(index):
            node.solver.unify(_inner(node, index, node.dims(index)[1]), inner)
    for index in (5, 6, 7):
        if node.has(index):
            node.solver.unify(node.dims(index)[1], node.dims(0)[-1])
    for weight, columns in ((2, node.dims(0)[-1]), (5, inner), (8, node.dims(0)[-1])):
        if node.has(weight):
            _columns(node, weight, columns)
    node.contract(node.dims(0)[-1], 0)
    node.contract(node.solver.resolve(inner), 3)  # the scales are what the oracle zeroes
    node.set(0, node.dims(0))


def _columns(node: NodeContext, weight: int, columns: Dim) -> None:
    """Several columns share a byte, and in blocks a scale; zero points do as both do, or as rows do."""
    packed(node, columns, node.dims(weight)[2], "numbers")
    blocks: Dim | None = None
    if node.rank(weight + 1) == 3:
        blocks = in_blocks(node, node.solver.resolve(columns), int(node.attribute("block_size")))
        node.solver.unify(blocks, node.dims(weight + 1)[2])
    zeros = {2: 11, 5: 12, 8: 13}[weight]
    if node.has(zeros):
        packed(node, node.dims(weight)[1], node.dims(zeros)[1], "zero points")
        if blocks is not None:
            packed(node, node.dims(weight + 1)[2], node.dims(zeros)[2], "zero points")


RULES = {
    "MoE": rule(_experts, "all", added=(5,)),
    "QMoE": rule(_quantised, "all", unmasked=(2, 5, 8, 11, 12, 13), added=(7,)),
}
