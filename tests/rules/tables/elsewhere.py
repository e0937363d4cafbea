"""Operators of com.microsoft without a kernel on a processor; see tests/rules/lowering.py."""

from __future__ import annotations

from tests.rules.building import Case, image, tokens


def _ms(op: str, text: str, cut: str, **more: object) -> Case:
    return Case(f"com.microsoft.{op}", text, cut, opset=21, **more)  # type: ignore[arg-type]


def _nhwc(body: str, weights: str = "", *, z: int | None = None) -> str:
    """A picture h with its channels last -> body -> zl, with its channels last."""
    to, back = "Transpose <perm = [0, 2, 3, 1]>", "Transpose <perm = [0, 3, 1, 2]>"
    return image(f"hl = {to} (h) {body} z = {back} (zl)", weights, z=z)


_INTEGERS = "float s = {0.05}, uint8 o = {120}, float t = {0.1}, uint8 p = {100}, float u = {0.001}"

CASES = (
    _ms("BiasAdd", tokens("z = com.microsoft.BiasAdd(h, b, h)", "float[12] b"), "A[1]"),
    _ms("BiasDropout", tokens("z = com.microsoft.BiasDropout(h, b, h)", "float[12] b"), "A[1]"),
    _ms(
        "BiasSoftmax",
        tokens(
            "r = MatMul(h, W) s = com.microsoft.BiasSoftmax <axis = 2> (h, b) z = Mul(s, h)",
            "float[12] b, float[12, 2] W",
        ),
        "",
        frozen={"A[1]": "compared slot by slot"},
    ),
    _ms("BiasSplitGelu", tokens("z = com.microsoft.BiasSplitGelu(h, b)", "float[12] b", z=6), "A[1].2"),
    _ms("SwiGLU", tokens("g = MatMul(x, G) z = com.microsoft.SwiGLU(h, g)", "float[4, 12] G"), "A[1]"),
    _ms(
        "NhwcConv",
        _nhwc(
            "zl = com.microsoft.NhwcConv <pads = [1, 1, 1, 1], group = 1> (hl, W, w)",
            "float[6, 8, 3, 3] W, float[6] w",
            z=6,
        ),
        "A[0] W[0]",
    ),
    _ms(
        "NhwcConv",
        _nhwc(
            "zl = com.microsoft.NhwcConv <pads = [1, 1, 1, 1], group = 8> (hl, W, w)",
            "float[16, 1, 3, 3] W, float[16] w",
            z=16,
        ),
        "A[0]",
        what="depthwise, two outputs for each channel",
    ),
    _ms(
        "NhwcConv",
        _nhwc(
            "d = DequantizeLinear(W, s) t = Transpose <perm = [1, 0, 2, 3]> (d) "
            "zl = com.microsoft.NhwcConv <pads = [1, 1, 1, 1], group = 2> (hl, t, w)",
            "int8[4, 6, 3, 3] W, float s = {0.02}, float[6] w",
            z=6,
        ),
        "A[0].2 W[1]",
        what="quantised and turned round, in groups",
    ),
    _ms(
        "NhwcFusedConv",
        _nhwc(
            'zl = com.microsoft.NhwcFusedConv <pads = [1, 1, 1, 1], group = 2, activation = "Relu"> (hl, W, w, hl)',
            "float[8, 4, 3, 3] W, float[8] w",
        ),
        "A[0].2",
        what="groups and a residual sum",
    ),
    _ms(
        "GroupNorm",
        _nhwc(
            "zl = com.microsoft.GroupNorm <groups = 4, activation = 1> (hl, gain, b)",
            "float[8] gain, float[8] b",
        ),
        "A[0]",
        approximate={"A[0].2": "normalised"},
    ),
    _ms(
        "SkipGroupNorm",
        _nhwc(
            "zl, q = com.microsoft.SkipGroupNorm <groups = 4, activation = 0> (hl, gain, b, hl, c)",
            "float[8] gain, float[8] b, float[8] c",
        ),
        "A[0]",
        approximate={"A[0].2": "normalised"},
    ),
    _ms(
        "GemmFastGelu",
        tokens("z = com.microsoft.GemmFastGelu(h, W, b)", "float[12, 6] W, float[6] b", z=6),
        "A[1] W[1]",
    ),
    _ms(
        "FusedMatMulActivation",
        tokens(
            'z = com.microsoft.FusedMatMulActivation <activation = "Tanh", transB = 1> (h, W)',
            "float[6, 12] W",
            z=6,
        ),
        "A[1] W[0]",
    ),
    _ms(
        "MulInteger",
        tokens(
            "q = QuantizeLinear(h, s, o) m = com.microsoft.MulInteger(q, o, q, o) f = Cast <to = 1> (m) z = Mul(f, u)",
            _INTEGERS,
        ),
        "A[1]",
    ),
    _ms(
        "QLinearReduceMean",
        tokens(
            "q = QuantizeLinear(h, s, o) m = com.microsoft.QLinearReduceMean <axes = [1], keepdims = 1> (q, s, o, t, p) z = DequantizeLinear(m, t, p)",
            _INTEGERS,
        ),
        "A[1]",
    ),
    _ms(
        "ReduceSumInteger",
        tokens(
            "q = QuantizeLinear(h, s, o) m = com.microsoft.ReduceSumInteger <axes = [2], keepdims = 1> (q) f = Cast <to = 1> (m) g = Mul(f, u) z = Mul(h, g)",
            _INTEGERS,
        ),
        "",
        frozen={"A[1]": "integers are summed"},
    ),
)
