"""Convolutions and what travels with them. X is (n, in, *space), W is (out, in / group, *kernel)."""

from collections.abc import Sequence

from graphprune.rules.context import NodeContext
from graphprune.rules.fused import fused_zero
from graphprune.rules.rule import Written, Zero, rule


def spaces(node: NodeContext, kernel: Sequence[int], names: str = "st") -> tuple[str, str]:
    """Spatial axes as they come in and go out; one along which nothing but the slot itself is read passes."""
    count = len(kernel)
    strides = node.attribute("strides", [1] * count)
    pads = node.attribute("pads", [0] * 2 * count)
    shifted = node.attribute("output_padding", [0] * count)
    passing = [
        kernel[k] == 1 and strides[k] == 1 and pads[k] == 0 and pads[count + k] == 0 and shifted[k] == 0
        for k in range(count)
    ]
    if not any(passing):
        return f"*!{names[0]}", f"*!{names[1]}"
    before, after = (
        " ".join(f"p{k}" if passes else f"!{name}{k}" for k, passes in enumerate(passing)) for name in names
    )
    return before, after


def _conv(node: NodeContext) -> str:
    """`n (g c) *!s, (g o) c *!k, (g o) -> n (g o) *!t`; a kernel of 1 lets its axis pass through."""
    s, t = spaces(node, node.shape(1)[2:])
    return f"n (g c) {s}, (g o) c *!k, (g o) -> n (g o) {t}"


def _transposed(node: NodeContext) -> str:
    """`n (g c) *!s, (g c) o *!k, (g o) -> n (g o) *!t`; a kernel of 1 lets its axis pass through."""
    s, t = spaces(node, node.shape(1)[2:])
    return f"n (g c) {s}, (g c) o *!k, (g o) -> n (g o) {t}"


def _deform(node: NodeContext) -> str:
    """Like Conv; offsets and masks have nothing to do with the channels, unless these come in groups too."""
    if int(node.attribute("offset_group", 1)) > 1:
        node.freeze(node.dims(0)[1], f"in groups with offsets of their own in {node.where}")
    return "n (g c) *!s, (g o) c *!k, !n _ *!t, (g o), !n _ *!t -> n (g o) *!t"


def _conv_integer(node: NodeContext) -> str:
    """Like Conv; zero points are scalars, or one for each output channel."""
    s, t = spaces(node, node.shape(1)[2:])
    return f"n (g c) {s}, (g o) c *!k, {companion(node, 2)}, {companion(node, 3)} -> n (g o) {t}"


def _qlinear_conv(node: NodeContext) -> str:
    """Like Conv; operands and result come with a scale and a zero point."""
    x, w, y = (f"{companion(node, k)}, {companion(node, k + 1)}" for k in (1, 4, 6))
    s, t = spaces(node, node.shape(3)[2:])
    return f"n (g c) {s}, {x}, (g o) c *!k, {w}, {y}, (g o) -> n (g o) {t}"


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
        _conv,
        "all",
        group="g",
        kinds={"g": "groups", "k": "kernel"},
        added=(2,),
    ),
    "ConvTranspose": rule(
        _transposed,
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
