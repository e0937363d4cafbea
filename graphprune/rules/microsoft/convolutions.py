"""Convolutions with a residual sum and an activation behind them, in either layout, and poolings."""

from __future__ import annotations

from graphprune.rules.context import NodeContext
from graphprune.rules.conv import CAUSAL, companion
from graphprune.rules.fused import fused_zero
from graphprune.rules.rule import rule

_KINDS = {"g": "groups", "k": "kernel"}
_WEIGHT = "(g o) c *!k"


def image(node: NodeContext, channels: str, space: str) -> str:
    """The axes of a picture; `channels_last` says where the channels are."""
    return f"n *{space} {channels}" if node.attribute("channels_last", 0) else f"n {channels} *{space}"


def _qlinear_conv(node: NodeContext) -> str:
    """Like QLinearConv; `channels_last` says where the channels of the pictures are."""
    x, w, y = (f"{companion(node, k)}, {companion(node, k + 1)}" for k in (1, 4, 6))
    made = image(node, "(g o)", "!t")
    return f"{image(node, '(g c)', '!s')}, {x}, {_WEIGHT}, {w}, {y}, (g o) -> {made}"


def _pool(node: NodeContext) -> str:
    """Spatial axes shrink, channels pass through."""
    return f"{image(node, 'c', '!s')} -> {image(node, 'c', '!t')}"


RULES = {
    "FusedConv": rule(
        f"n (g c) *!s, {_WEIGHT}, (g o), n (g o) *!t -> n (g o) *!t",
        fused_zero,
        group="g",
        kinds=_KINDS,
        added=(2, 3),
    ),
    "NhwcConv": rule(
        f"n *!s (g c), {_WEIGHT}, (g o) -> n *!t (g o)", "all", group="g", kinds=_KINDS, added=(2,)
    ),
    "NhwcFusedConv": rule(
        f"n *!s (g c), {_WEIGHT}, (g o), n *!t (g o) -> n *!t (g o)",
        fused_zero,
        group="g",
        kinds=_KINDS,
        added=(2, 3),
    ),
    "QLinearConv": rule(
        _qlinear_conv, "all", group="g", kinds=_KINDS, unmasked=(1, 2, 4, 5, 6, 7), added=(8,)
    ),
    "ConvTransposeWithDynamicPads": rule(
        "n (g c) *!s, (g c) o *!k, _, (g o) -> n (g o) *!t",
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        added=(3,),
    ),
    "CausalConvWithState": CAUSAL,
    "NhwcMaxPool": rule("n *!s c -> n *!t c", "keep"),
    **{
        op: rule(_pool, "keep", unmasked=(1, 2, 3, 4))
        for op in ("QLinearAveragePool", "QLinearGlobalAveragePool")
    },
}
