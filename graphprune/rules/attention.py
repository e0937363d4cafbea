"""Attention as one operator (ai.onnx, opset 23 and later)."""

from __future__ import annotations

from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.heads import attention_zero, name_heads, pin_scale, rotate, split_heads
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
    # Where positions are told apart, queries are too; a mask is stretched over the batch or runs along it.
    if node.attribute("is_causal", 0) or node.has(3) or node.has(6) or _windowed(node):
        text = text.replace("q", "!q").replace("b ", "!b ")
    pin_scale(node, width)
    return text


def _windowed(node: NodeContext) -> bool:
    return any(int(node.attribute(f"{side}_window_size", -1)) >= 0 for side in ("left", "right"))


def _mask(node: NodeContext) -> str:
    """The mask is stretched to (batch, heads, queries, keys); positions are told apart by it."""
    if node.has(3) and node.rank(3) > 2 and node.shape(3)[-3] > 1:
        return "_ " * (node.rank(3) - 3) + "(z r) _ _"
    return "*!m"


def rotary(node: NodeContext) -> None:
    """Two channels of a head turn together: its halves, or neighbours if interleaved; a rest may pass."""
    positions, tables = (1, (2, 3)) if node.domain == "com.microsoft" else (3, (1, 2))
    dims, places = node.dims(0), [node.dims(k)[:-1] for k in tables]
    rows = (dims[0], dims[2] if len(dims) == 4 else dims[1])
    if node.has(positions):
        for dim in (*rows, *node.dims(positions), *(d for p in places for d in p)):
            node.freeze(dim, f"positions looked up by {node.where}")
    else:
        # The tables are (batch, sequence, pairs) then, like the operand without its heads.
        node.same([rows, *places])
    count = int(node.attribute("num_heads", 0))
    if len(dims) == 4:
        heads, width = dims[1], dims[3]
    else:
        if node.domain == "com.microsoft":
            count = count or dims[2].size // (2 * node.shape(tables[0])[-1])
        heads, width = split_heads(node, dims[2], count)
    turned = rotate(node, width, tables, interleaved=bool(node.attribute("interleaved", 0)))
    name_heads(node, [heads], [width])
    if node.attribute("rotary_embedding_dim", 0):
        node.sizes_attribute("rotary_embedding_dim", [turned], scalar=True)
    if node.attribute("num_heads", 0):
        node.sizes_attribute("num_heads", [heads], scalar=True)
    node.set(0, node.dims(0))


def _linear(node: NodeContext) -> str:
    """`b t (z r d), b t (z d), b t (z e) -> b t (z r e)`: a state of d x e for each head, no scores."""
    heads, kv_heads = int(node.attribute("q_num_heads", 0)), int(node.attribute("kv_num_heads", 0))
    if not kv_heads or heads % kv_heads:
        raise Barrier("it has more heads of keys than of queries")
    node.attributes = {**node.attributes, "_kv": kv_heads, "_repeats": heads // kv_heads}
    query, width = split_heads(node, node.dims(0)[2], heads)
    node.sizes_attribute("q_num_heads", [query], scalar=True)
    node.sizes_attribute("kv_num_heads", [split_heads(node, node.dims(1)[2], kv_heads)[0]], scalar=True)
    node.contract(width, 0, 1)
    pin_scale(node, width)
    window = "_ " if node.attribute("state_window", 0) else ""
    each = node.has(4) and node.shape(4)[2] == kv_heads
    rate = "_" if node.has(5) and node.shape(5)[2] == 1 else "z"
    text = f"b !t (z r d), b t (z d), b t (z e), {window}b z d e, b t {'z' if each else '(z d)'}, b t {rate}"
    return f"{text} -> b t (z r e), {window}b z d e"


RULES = {
    "LinearAttention": rule(
        _linear,
        attention_zero,
        kinds={"z": "heads", "r": "heads", "d": "head-dim", "e": "head-dim"},
        _kv="z",
        _repeats="r",
    ),
    "Attention": rule(
        _attention,
        attention_zero,
        kinds={"z": "heads", "r": "heads", "d": "head-dim", "e": "head-dim"},
        _kv="z",
        _repeats="r",
    ),
    "RotaryEmbedding": rule(rotary, "first"),
}
