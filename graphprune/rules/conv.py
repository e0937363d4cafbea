"""Convolutions and what travels with them. X is (n, in, *space), W is (out, in / group, *kernel)."""

from graphprune.rules.context import NodeContext
from graphprune.rules.fused import fused_zero
from graphprune.rules.rule import Written, Zero, rule


def _deform(node: NodeContext) -> str:
    """Like Conv; offsets and masks have nothing to do with the channels, unless these come in groups too."""
    if int(node.attribute("offset_group", 1)) > 1:
        node.freeze(node.dims(0)[1], f"in groups with offsets of their own in {node.where}")
    return "n (g c) *!s, (g o) c *!k, !n _ *!t, (g o), !n _ *!t -> n (g o) *!t"


def _conv_integer(node: NodeContext) -> str:
    """Like Conv; zero points are scalars, or one for each output channel."""
    return f"n (g c) *!s, (g o) c *!k, {companion(node, 2)}, {companion(node, 3)} -> n (g o) *!t"


def _qlinear_conv(node: NodeContext) -> str:
    """Like Conv; operands and result come with a scale and a zero point."""
    x, w, y = (f"{companion(node, k)}, {companion(node, k + 1)}" for k in (1, 4, 6))
    return f"n (g c) *!s, {x}, (g o) c *!k, {w}, {y}, (g o) -> n (g o) *!t"


def companion(node: NodeContext, index: int) -> str:
    """A scale or zero point: a scalar, one element, or one for each output channel."""
    if not node.has(index) or node.rank(index) == 0:
        return ""
    return "_" if node.shape(index)[0] == 1 else "(g o)"


def _space_to_depth(node: NodeContext) -> str:
    """`n c (h !p) (w !q) -> n (p q c) h w`, or with the channels first."""
    made = "(c p q)" if node.attribute("mode", "DCR") == "CRD" else "(p q c)"
    return f"n c (h !p) (w !q) -> n {made} h w"


def _causal(node: NodeContext) -> str:
    """Every channel is convolved by itself along the last axis; the state holds the last steps."""
    window = "_ " if node.attribute("state_window", 0) else ""
    last = node.attribute("channels_last", 0)
    x, state = ("n !s c", f"{window}n !t c") if last else ("n c *!s", f"{window}n c *!t")
    return f"{x}, c _ *!k, c, {state} -> {x}, {state}"


def _causal_zero(node: Written) -> Zero:
    """The state that is handed on holds the input as it is, whatever the kernel."""
    return "keep" if any(node.outputs[1:]) else fused_zero(node)


CAUSAL = rule(_causal, _causal_zero, kinds={"k": "kernel"}, added=(2, 3))

RULES = {
    "Conv": rule(
        "n (g c) *!s, (g o) c *!k, (g o) -> n (g o) *!t",
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        added=(2,),
    ),
    "ConvTranspose": rule(
        "n (g c) *!s, (g c) o *!k, (g o) -> n (g o) *!t",
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        added=(2,),
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
    "CausalConvWithState": CAUSAL,
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
    "SpaceToDepth": rule(_space_to_depth, "keep", blocksize="p q"),
}
