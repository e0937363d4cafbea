"""Normalisations: which slots share a statistic, and which only a gain and a bias."""

from __future__ import annotations

from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def _layer_norm(node: NodeContext) -> None:
    """X is (*batch, *normalised); gain and bias broadcast over the normalised axes."""
    dims = node.dims(0)
    axis = node.axis(int(node.attribute("axis", -1)), len(dims))
    for dim in dims[axis:]:
        node.normalise(dim)
    node.same([dims, *(node.dims(k) for k in (1, 2) if node.has(k))])
    node.set(0, node.dims(0))
    for index in range(1, len(node.output_shapes)):
        if (shape := node.output_shapes[index]) is not None:
            node.set(
                index, [d if d.size == s else node.fixed(s) for d, s in zip(node.dims(0), shape, strict=True)]
            )


def _group_norm(node: NodeContext) -> str:
    """Slots of a group share a statistic; the groups themselves are independent."""
    # Up to opset 20 gain and bias are per group, later per channel.
    gain = "(g ~c)" if node.version >= 21 else "g"
    return f"n (g ~c) *~s, {gain}, {gain} -> n (g c) *s"


def _batch_norm(node: NodeContext) -> str:
    """Channels are scaled one by one; in training mode what lies beside them shares a statistic."""
    data = "~n c *~s" if node.attribute("training_mode", 0) else "n c *s"
    return f"{data}, c, c, c, c -> n c *s, c, c, c, c"


def _along(node: NodeContext) -> None:
    """Slots along `axis` share a norm."""
    dims = node.dims(0)
    node.normalise(dims[node.axis(int(node.attribute("axis", -1)), len(dims))])
    node.set(0, dims)


def _mean_variance(node: NodeContext) -> None:
    """Slots along `axes` share a statistic."""
    dims = node.dims(0)
    for axis in node.attribute("axes") or (0, 2, 3):
        node.normalise(dims[node.axis(int(axis), len(dims))])
    node.set(0, dims)


RULES = {
    "BatchNormalization": rule(_batch_norm, "all", unmasked=(3, 4), added=(2,)),
    "InstanceNormalization": rule("n c *~s, c, c -> n c *s", "all", added=(2,)),
    "GroupNormalization": rule(_group_norm, "all", added=(2,), num_groups="g", kinds={"g": "groups"}),
    "LayerNormalization": rule(_layer_norm, "all", added=(2,)),
    "RMSNormalization": rule(_layer_norm, "all"),
    "SimplifiedLayerNormalization": rule(_layer_norm, "all"),
    "LpNormalization": rule(_along, "keep"),
    "MeanVarianceNormalization": rule(_mean_variance, "lift"),
    "LRN": rule("n !c *s -> n c *s", "keep"),
}
