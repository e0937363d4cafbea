"""Normalisations fused with what stands before them: a residual sum, an embedding, a gate."""

from __future__ import annotations

from graphprune.dims import Const, Dim
from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def _skip_norm(node: NodeContext) -> None:
    """`x + skip (+ bias)`, normalised over the last axis; the sum may be an output too."""
    dims = node.dims(0)
    node.normalise(dims[-1])
    node.same([node.dims(k) for k in range(node.count()) if node.has(k)])
    dims = node.dims(0)
    for index, shape in enumerate(node.output_shapes):
        if shape is not None:
            node.set(index, dims if index in (0, 3) else _statistic(node, dims, shape))


def _statistic(node: NodeContext, dims: tuple[Dim, ...], shape: tuple[int, ...]) -> list[Dim]:
    return [d if d.size == s else node.fixed(s) for d, s in zip(dims, shape, strict=True)]


_TABLES = "!v d, !p d, !g d"
_EMBEDDED = "-> b s d, b, b s d"


def _gated_norm(node: NodeContext) -> None:
    """Every run of as many slots as there are gains is normalised and multiplied by its gate."""
    node.same([node.dims(0), node.dims(2)])
    *batch, last = node.dims(0)
    _, within = node.solver.factor(last, last.size // node.shape(1)[0])
    node.solver.unify(within, node.dims(1)[0])
    node.normalise(node.solver.resolve(within))
    node.set(0, [*batch, node.solver.resolve(last)])


def _branch_norm(node: NodeContext) -> None:
    """Every branch of the last axis (or of the last but one) is normalised by itself."""
    dims = node.dims(0)
    branches = int(node.attribute("num_branches", 0))
    runs, within = node.solver.factor(dims[-1], branches) if branches else (Const(1), dims[-1])
    if branches:
        node.freeze(runs, f"branches of {node.where}")
    node.normalise(within)
    if node.has(1):
        scale = node.dims(1)
        if branches and len(scale) == 1 and scale[0].size == within.size:
            node.solver.unify(scale[0], within)
        elif branches and len(scale) == 2:
            node.solver.unify(scale[0], runs)
            node.solver.unify(scale[1], within)
        else:
            node.same([node.dims(0), scale])
    node.set(0, node.dims(0))


def _grouped(node: NodeContext) -> str:
    """Slots of a group share a statistic; the groups themselves are independent."""
    last = bool(node.attribute("channels_last", 1))
    image = "n *~s (g ~c)" if last else "n (g ~c) *~s"
    skip = bias = ""
    if node.op == "SkipGroupNorm":
        single = node.rank(3) == 4 and node.shape(3)[1:3] == (1, 1)
        skip = ", n _ _ (g ~c)" if single else ", n (g ~c)" if node.rank(3) == 2 else f", {image}"
        bias = ", (g ~c)"
    made = image.replace("~", "")
    return f"{image}, (g ~c), (g ~c){skip}{bias} -> {made}, {made}"


RULES = {
    "SkipLayerNormalization": rule(_skip_norm, "lift", added=(3, 4)),
    "SkipSimplifiedLayerNormalization": rule(_skip_norm, "lift", added=(3,)),
    "EmbedLayerNormalization": rule(f"b s, b s, {_TABLES}, ~d, d, b s, _ s {_EMBEDDED}", "lift", added=(6,)),
    "QEmbedLayerNormalization": rule(
        f"b s, b s, {_TABLES}, ~d, d, b s {_EMBEDDED}",
        "lift",
        unmasked=range(8, 18),
        added=(6,),
    ),
    "GatedRMSNorm": rule(_gated_norm, "all"),
    "BranchwiseRMSNorm": rule(_branch_norm, "all"),
    **{
        op: rule(_grouped, "all", groups="g", kinds={"g": "groups"}, added=(2,))
        for op in ("GroupNorm", "SkipGroupNorm")
    },
}
