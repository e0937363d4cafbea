"""Convolutions and what travels with them. X is (n, in, *space), W is (out, in / group, *kernel)."""

from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def _conv_transpose(node: NodeContext) -> str:
    """Like Conv with the weight transposed: its group runs over the input channels."""
    # W is (in, out / group, *kernel): the group runs over the input channels.
    return "n (g c) *!s, (g c) o *!k, (g o) -> n (g o) *!t"


def _deform(node: NodeContext) -> str:
    """Like Conv; offsets and masks have nothing to do with the channels."""
    return "n (g c) *!s, (g o) c *!k, !n _ *!t, (g o), !n _ *!t -> n (g o) *!t"


def _conv_integer(node: NodeContext) -> str:
    """Like Conv; zero points are scalars, or one for each output channel."""
    # The zero point of W is a scalar or one for each output channel.
    per_channel = node.has(3) and node.rank(3) == 1 and node.shape(3)[0] != 1
    zeros = (
        "" if not node.has(2) or node.rank(2) == 0 else "_",
        "" if not node.has(3) or node.rank(3) == 0 else "_",
    )
    return f"n (g c) *!s, (g o) c *!k, {zeros[0]}, {'(g o)' if per_channel else zeros[1]} -> n (g o) *!t"


RULES = {
    "Conv": rule(
        "n (g c) *!s, (g o) c *!k, (g o) -> n (g o) *!t",
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        added=(2,),
    ),
    "ConvTranspose": rule(
        _conv_transpose, "all", group="g", kinds={"g": "groups", "k": "kernel"}, added=(2,)
    ),
    "ConvInteger": rule(
        _conv_integer,
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
    ),
    "DeformConv": rule(_deform, "all", group="g", kinds={"g": "groups", "k": "kernel"}, added=(2,)),
    "DepthToSpace": rule(
        lambda node: (
            "n (c !p !q) h w -> n c (h p) (w q)"
            if node.attribute("mode", "DCR") == "CRD"
            else "n (!p !q c) h w -> n c (h p) (w q)"
        ),
        "keep",
        blocksize="p q",
    ),
    "SpaceToDepth": rule("n c (h !p) (w !q) -> n (p q c) h w", "keep", blocksize="p q"),
}
