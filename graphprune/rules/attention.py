"""Attention as one operator (ai.onnx, opset 23 and later)."""

from __future__ import annotations

import math

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.effects import PinnedAttribute
from graphprune.rules.rule import rule


def _attention(node: NodeContext) -> str:
    """Q heads are (kv heads x repeats); 3-D operands carry heads x width in one axis."""
    if node.rank(0) == 4:
        heads, kv_heads = node.shape(0)[1], node.shape(1)[1]
    else:
        heads, kv_heads = int(node.attribute("q_num_heads", 0)), int(node.attribute("kv_num_heads", 0))
    if not heads or not kv_heads or heads % kv_heads:
        raise Barrier(f"{node.where} does not say how its heads are grouped")
    node.attributes = {**node.attributes, "_kv": kv_heads, "_repeats": heads // kv_heads}
    if node.rank(0) == 4:
        text = "b (z r) q d, b z !j d, b z !j e, MASK, b z !p d, b z !p e"
        text += " -> b (z r) q e, b z u d, b z u e, b (z r) q u"
        width = node.dims(0)[-1]
    else:
        text = "b q (z r d), b !j (z d), b !j (z e), MASK, b z !p d, b z !p e"
        text += " -> b q (z r e), b z u d, b z u e, b (z r) q u"
        width = node.solver.factor(node.dims(0)[-1], heads)[1]
        query, keys = node.dims(0)[-1], node.dims(1)[-1]
        node.solver.factor(keys, kv_heads)
        node.sizes_attribute("q_num_heads", [node.solver.factor(query, heads)[0]], scalar=True)
        node.sizes_attribute("kv_num_heads", [node.solver.factor(keys, kv_heads)[0]], scalar=True)
    node.contract(width, 0, 1)  # the notation does not say so: the keys are an output too
    text = text.replace("MASK", _mask(node))
    if node.attribute("is_causal", 0):
        text = text.replace("q", "!q")
    if node.attribute("scale") is None:
        node.say(PinnedAttribute(node.name, "scale", 1.0 / math.sqrt(width.size), width))
    return text


def _mask(node: NodeContext) -> str:
    """The mask is stretched to (batch, heads, queries, keys); positions are told apart by it."""
    if node.has(3) and node.rank(3) > 2 and node.shape(3)[-3] > 1:
        return "_ " * (node.rank(3) - 3) + "(z r) _ _"
    return "*!m"


def _rotary(node: NodeContext) -> None:
    """Two channels of a head turn together: its halves, or neighbours if interleaved; a rest may pass."""
    dims, caches = list(node.dims(0)), [node.dims(k) for k in (1, 2)]
    if node.has(3):
        for dim in (*node.dims(3), *(d for c in caches for d in c[:-1])):
            node.freeze(dim, f"positions looked up by {node.where}")
    else:
        # The caches are (batch, sequence, pairs) then, like the operand without its heads.
        rows = [dims[0], dims[2] if len(dims) == 4 else dims[1]]
        node.same([rows, *(c[:-1] for c in caches)])
    node.solver.unify(caches[0][-1], caches[1][-1])
    heads, width = (dims[1], dims[3]) if len(dims) == 4 else _rotary_heads(node, dims[-1])
    turned, rest = node.solver.split(width, int(node.attribute("rotary_embedding_dim", 0)) or width.size)
    inner = 2 if node.attribute("interleaved", 0) else turned.size // 2
    outer, last = node.solver.factor(turned, turned.size // inner)
    pairs, two = (outer, last) if node.attribute("interleaved", 0) else (last, outer)
    node.freeze(two, f"the two that turn together in {node.where}")
    node.solver.unify(pairs, caches[0][-1])
    node.kind(heads, "heads")
    node.kind(pairs, "head-dim")
    node.kind(two, "head-dim")
    node.kind(rest, "head-dim")
    if node.attribute("rotary_embedding_dim", 0):
        node.sizes_attribute("rotary_embedding_dim", [turned], scalar=True)
    if node.attribute("num_heads", 0):
        node.sizes_attribute("num_heads", [heads], scalar=True)
    node.set(0, node.dims(0))


def _rotary_heads(node: NodeContext, dim: Dim) -> tuple[Dim, Dim]:
    """Heads and width of an operand that carries both in its last axis."""
    count = int(node.attribute("num_heads", 0))
    if not count:
        raise Barrier(f"{node.where} does not say how many heads it has")
    return node.solver.factor(dim, count)


RULES = {
    "Attention": rule(
        _attention,
        "value",
        kinds={"z": "heads", "r": "heads", "d": "head-dim", "e": "head-dim"},
        _kv="z",
        _repeats="r",
    ),
    "RotaryEmbedding": rule(_rotary, "first"),
}
