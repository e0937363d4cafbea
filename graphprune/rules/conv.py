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
    return f"n (g c) *!s, (g o) c *!k, {_companion(node, 2)}, {_companion(node, 3)} -> n (g o) *!t"


def _qlinear_conv(node: NodeContext) -> str:
    """Like Conv; operands and result come with a scale and a zero point."""
    x, w, y = (f"{_companion(node, k)}, {_companion(node, k + 1)}" for k in (1, 4, 6))
    return f"n (g c) *!s, {x}, (g o) c *!k, {w}, {y}, (g o) -> n (g o) *!t"


def _companion(node: NodeContext, index: int) -> str:
    """A scale or zero point: a scalar, one element, or one for each output channel."""
    if not node.has(index) or node.rank(index) == 0:
        return ""
    return "_" if node.shape(index)[0] == 1 else "(g o)"


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
    "QLinearConv": rule(
        _qlinear_conv,
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        unmasked=(1, 2, 4, 5, 6, 7),
        added=(8,),
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
