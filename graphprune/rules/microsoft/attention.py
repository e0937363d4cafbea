"""Attention as one operator, with or without its projections, and rotary positions."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.dims import Dim
from graphprune.rules.attention import RULES as DEFAULT
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.heads import (
    attention_zero,
    in_runs,
    in_sum,
    joined,
    name_heads,
    pin_scale,
    rotate,
    split_heads,
)
from graphprune.rules.rule import Written, Zero, rule


def _projected(node: NodeContext) -> None:
    """`b s i, i (h d + h d + h e), (h d + h d + h e) -> b s (h e)`, projections included."""
    batch, steps, width = node.dims(0)
    node.solver.unify(width, node.dims(1)[0])
    heads, inner, values = _thirds(node, node.dims(1)[1], "qkv_hidden_sizes")
    along = in_sum(node, joined(node, heads, inner), joined(node, heads, inner), joined(node, heads, values))
    for index in (2,) if node.op == "Attention" else (2, 4, 7):
        if node.has(index) and node.rank(index) and node.shape(index)[0] != 1:
            node.solver.unify(node.dims(index)[0], along)
    past = 4 if node.op == "Attention" else 8
    if node.attribute("do_rotary", 0):
        node.freeze(inner, f"turned by its position in the head by {node.where}")
    for dim in (batch, steps):
        node.freeze(dim, f"positions of {node.where}")
    node.contract(node.dims(0)[2], 0, 1)
    node.contract(inner, 1)
    if node.has(past):
        two, _, cached, held, wide = node.dims(past)
        node.freeze(two, f"keys and values of {node.where}")
        node.freeze(held, f"positions of {node.where}")
        for dim, twin in ((cached, heads), (wide, inner), (wide, values)):
            node.solver.unify(dim, node.solver.resolve(twin))
    for index in (3, 5) if node.op == "Attention" else (5,):
        _mask(node, index, heads)
    _named(node, heads, inner, values)
    node.set(0, [batch, steps, joined(node, heads, values)])
    if len(node.output_shapes) > 1 and (shape := node.output_shapes[1]) is not None:
        fixed = [node.fixed(s) for s in shape]
        node.solver.unify(node.solver.resolve(inner), node.solver.resolve(values))
        node.set(1, [fixed[0], batch, node.solver.resolve(heads), fixed[3], node.solver.resolve(inner)])


def _thirds(node: NodeContext, packed: Dim, attribute: str) -> tuple[Dim, Dim, Dim]:
    """Heads, width of queries and keys, and width of values, of three projections side by side."""
    count = int(node.attribute("num_heads"))
    sizes = [int(s) for s in node.attribute(attribute) or ()] or [packed.size // 3] * 3
    if sum(sizes) != packed.size:
        raise Barrier(f"the projections of {node.where} do not add up")
    pieces = node.pieces(packed, sizes)
    heads, inner, values = _same_heads(node, pieces, count)
    if node.op == "Attention":  # without the attribute all three are as wide
        entries = [joined(node, heads, inner)] * 2 + [joined(node, heads, values)]
        node.sizes_attribute(attribute, entries)
    else:
        node.solver.unify(inner, values)
    return heads, inner, values


def _same_heads(node: NodeContext, operands: Sequence[Dim], count: int) -> tuple[Dim, Dim, Dim]:
    """Queries, keys and values with the same heads; queries and keys have the same width."""
    split = [split_heads(node, dim, count) for dim in operands]
    for heads, _ in split[1:]:
        node.solver.unify(split[0][0], heads)
    node.solver.unify(split[0][1], split[1][1])
    heads, inner, values = split[0][0], split[0][1], split[2][1]
    return tuple(node.solver.resolve(d) for d in (heads, inner, values))  # type: ignore[return-value]


def _mask(node: NodeContext, index: int, heads: Dim) -> None:
    """A mask or bias on the scores: positions are told apart; it may differ between heads."""
    if not node.has(index):
        return
    dims = node.dims(index)
    for axis, dim in enumerate(dims):
        if len(dims) == 4 and axis == 1 and dim.size == heads.size != 1:
            node.solver.unify(dim, node.solver.resolve(heads))
        else:
            node.freeze(dim, f"positions of {node.where}")


def _named(node: NodeContext, heads: Dim, inner: Dim, values: Dim) -> None:
    node.sizes_attribute("num_heads", [heads], scalar=True)
    name_heads(node, [heads], [inner, values])
    pin_scale(node, inner)


def _multi_head(node: NodeContext) -> None:
    """`b s (h d), b t (h d), b t (h e) -> b s (h e)`; operands may be packed, keys may be split by heads."""
    count = int(node.attribute("num_heads"))
    batch, steps = node.dims(0)[:2]
    heads, inner, values = _operands(node, count)
    if node.has(3):
        sizes = [heads.size * inner.size] * 2 + [heads.size * values.size]
        thirds = node.pieces(node.dims(3)[0], sizes)
        for third, width in zip(thirds, (inner, inner, values), strict=True):
            node.solver.unify(third, joined(node, heads, width))
    for dim in (batch, steps):
        node.freeze(dim, f"positions of {node.where}")
    _mask(node, 4, heads)
    _mask(node, 5, heads)
    node.contract(inner, *((0, 1) if node.has(1) else (0,)))
    for index, width in ((6, inner), (7, values)):
        if node.has(index):
            _cache(node, node.dims(index), batch, heads, width)
    for index in range(8, node.count()):
        _mask(node, index, heads)
    _named(node, heads, inner, values)
    node.set(0, [batch, steps, joined(node, heads, values)])
    _handed_on(node, batch, heads, inner, values)


def _operands(node: NodeContext, count: int) -> tuple[Dim, Dim, Dim]:
    """Heads and widths of the operands of MultiHeadAttention, in each of their layouts."""
    if node.rank(0) == 5:  # b s h 3 d
        _, _, heads, three, inner = node.dims(0)
        node.freeze(three, f"queries, keys and values of {node.where}")
        return heads, inner, inner
    query = node.dims(0)[2]
    if not node.has(1):  # b s (h d + h d + h e)
        raise Barrier("it does not say where its queries end")
    if node.rank(1) == 5:  # b t h 2 d
        _, _, outer, two, inner = node.dims(1)
        node.freeze(two, f"keys and values of {node.where}")
        heads, width = split_heads(node, query, count)
        node.solver.unify(heads, outer)
        node.solver.unify(width, inner)
        return node.solver.resolve(heads), node.solver.resolve(width), node.solver.resolve(width)
    key, value = (
        joined(node, node.dims(k)[1], node.dims(k)[3]) if node.rank(k) == 4 else node.dims(k)[2]
        for k in (1, 2)
    )
    for index in (1, 2):
        node.freeze(node.dims(index)[2 if node.rank(index) == 4 else 1], f"positions of {node.where}")
    heads, width, values = _same_heads(node, [query, key, value], count)
    if node.rank(1) == 4:  # the runtime wants both in one shape
        node.solver.unify(width, values)
    return heads, node.solver.resolve(width), node.solver.resolve(values)


def _cache(node: NodeContext, dims: Sequence[Dim], batch: Dim, heads: Dim, width: Dim) -> None:
    """`b h p d`: what earlier steps left."""
    for dim, twin in zip(dims, (batch, heads, None, width), strict=True):
        if twin is None:
            node.freeze(dim, f"positions of {node.where}")
        elif dim.size == twin.size:
            node.solver.unify(dim, node.solver.resolve(twin))


def _handed_on(
    node: NodeContext, batch: Dim, heads: Dim, inner: Dim, values: Dim, queries: Dim | None = None
) -> None:
    """`b h t d, b h t e, b h s t`: keys, values and scores as further outputs."""
    for index, width in ((1, inner), (2, values), (3, None)):
        if index < len(node.output_shapes) and (shape := node.output_shapes[index]) is not None:
            steps = [node.fixed(s, f"positions of {node.where}") for s in shape]
            if width is None:
                node.set(index, [batch, node.solver.resolve(queries or heads), *steps[2:]])
            else:
                node.set(index, [batch, node.solver.resolve(heads), steps[2], node.solver.resolve(width)])


_RUN = 8  # GroupQueryAttention refuses heads of other widths, and of 16 with rotary pairs


def _grouped_query(node: NodeContext) -> None:
    """`b s (z r d), b s (z d), b s (z d) -> b s (z r d)`; all three may be packed in one axis."""
    kv, count = int(node.attribute("kv_num_heads")), int(node.attribute("num_heads"))
    if not kv or count % kv:
        raise Barrier(f"{node.where} does not say how its heads are grouped")
    if node.has(12) or node.has(13):
        raise Barrier("its cache is quantised")
    batch, steps, query = node.dims(0)
    if node.has(1):
        operands = [query, node.dims(1)[2], node.dims(2)[2]]
    else:
        head = query.size // (count + 2 * kv)
        operands = node.pieces(query, [count * head, kv * head, kv * head])
    groups, rest = split_heads(node, operands[0], kv)
    repeats, inner = split_heads(node, rest, count // kv)
    for dim in operands[1:]:
        other, width = split_heads(node, dim, kv)
        node.solver.unify(groups, other)
        node.solver.unify(inner, width)
    groups, repeats, inner = (node.solver.resolve(d) for d in (groups, repeats, inner))
    for dim in (batch, steps, *(node.dims(k)[1] for k in (1, 2) if node.has(k))):
        node.freeze(dim, f"positions of {node.where}")
    if node.attribute("do_rotary", 0):
        interleaved = bool(node.attribute("rotary_interleaved", 0))
        tables = [k for k in (7, 8) if node.has(k)]
        for index in tables:
            node.freeze(node.dims(index)[0], f"positions looked up by {node.where}")
        turned = rotate(node, inner, tables, interleaved=interleaved, run=_RUN)
        if turned.size < inner.size:
            node.freeze(inner, f"only a part of each head is turned by {node.where}")
    else:
        in_runs(node, inner, _RUN)
    inner = node.solver.resolve(inner)
    for index in (3, 4):
        if node.has(index):
            _cache(node, node.dims(index), batch, groups, inner)
    heads = joined(node, groups, repeats)
    for index in (5, 6, 9, 10, 16):
        _mask(node, index, heads)
    if node.has(11):
        node.solver.unify(node.dims(11)[0], heads)
    for index in (14, 15):
        if node.has(index):
            node.solver.unify(node.dims(index)[0], node.solver.resolve(inner))
            node.normalise(inner)
    groups, repeats, inner = (node.solver.resolve(d) for d in (groups, repeats, inner))
    node.contract(inner, *((0, 1) if node.has(1) else (0,)))
    heads = joined(node, groups, repeats)
    node.sizes_attribute("num_heads", [heads], scalar=True)
    node.sizes_attribute("kv_num_heads", [groups], scalar=True)
    name_heads(node, [heads], [inner])
    pin_scale(node, inner)
    node.set(0, [batch, steps, joined(node, heads, inner)])
    _handed_on(node, batch, groups, inner, inner, heads)


def _three_positions(node: NodeContext) -> None:
    """Like RotaryEmbedding, but each section of the pairs of a head has a position of its own."""
    dims = node.dims(0)
    if len(dims) == 4:
        heads, width = dims[1], dims[3]
    else:
        heads, width = split_heads(node, dims[2], int(node.attribute("num_heads", 0)))
    steps = dims[2 if len(dims) == 4 else 1]
    for dim in (dims[0], steps, *node.dims(1), *(node.dims(k)[0] for k in (2, 3))):
        node.freeze(dim, f"positions looked up by {node.where}")
    turned = rotate(node, width, (2, 3), interleaved=bool(node.attribute("interleaved", 0)))
    pairs = node.dims(2)[-1]
    if node.attribute("mrope_layout", 0):
        node.freeze(pairs, f"turned by three positions in turn by {node.where}")
    else:  # one section behind the other
        sections = [int(n) for n in node.attribute("mrope_section")]
        node.sizes_attribute("mrope_section", node.pieces(pairs, sections))
    if node.attribute("rotary_embedding_dim", 0):
        node.sizes_attribute("rotary_embedding_dim", [turned], scalar=True)
    heads, width = node.solver.resolve(heads), node.solver.resolve(width)
    name_heads(node, [heads], [width])
    if node.attribute("num_heads", 0):
        node.sizes_attribute("num_heads", [heads], scalar=True)
    node.set(0, node.dims(0))


def _packed_zero(node: Written) -> Zero:
    """With all operands in the first, its zeros count."""
    if len(node.inputs) > 1 and node.inputs[1]:
        return attention_zero(node)
    return "keep" if any(node.outputs[1:]) else "first"


RULES = {
    "Attention": rule(_projected, "all", added=(2,)),
    "QAttention": rule(_projected, "all", unmasked=(3, 4, 6, 7), added=(2,)),
    "MultiHeadAttention": rule(_multi_head, _packed_zero, added=(3,)),
    "GroupQueryAttention": rule(_grouped_query, _packed_zero),
    "MRotaryEmbedding": rule(_three_positions, "first"),
    "LinearAttentionGate": rule("b t z, z, z, b t z -> b t z, b t z", "lift", kinds={"z": "heads"}),
    **{op: DEFAULT[op] for op in ("LinearAttention", "RotaryEmbedding")},
}
