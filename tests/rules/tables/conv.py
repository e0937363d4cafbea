"""Convolutions, and the operators that trade channels for space."""

from __future__ import annotations

from tests.rules.building import Case, image, tokens

_ROW = """net (float[n, 3, 20] x) => (float[N, C, T] y)
    <float[8, 3, 5] A, float[6, 8, 3] W, float[6] b, float[4, 6, 1] B>
    { h = Conv(x, A)  z = Conv <dilations = [2], strides = [2]> (h, W, b)  y = Conv(z, B) }"""
_VOLUME = """net (float[n, 2, 4, 4, 4] x) => (float[N, C, D, H, W] y)
    <float[6, 2, 3, 3, 3] A, float[6] a, float[4, 6, 1, 1, 1] B>
    { z = Conv <auto_pad = "SAME_UPPER"> (x, A, a)  y = Conv(z, B) }"""
_TOKENS = """net (float[n, 5, 3] x) => (float[N, T, V] y) <float[3, 8] A, float[5, 5, 1] W, float[5] b, float[8, 4] B>
    {{ h = MatMul(x, A)  {product}  y = MatMul(z, B) }}"""
_SIDE = """net (float[n, 3, 6, 4] x) => (float[N, C, T, V] y)
    <float[8, 3, 1, 1] A, float[4, 10] R, float[6, 8, 3, 1] W, float[10, 5] S, float[4, 6, 1, 1] B>
    { a = Conv(x, A)  r = MatMul(a, R)  z = Conv <pads = [1, 0, 1, 0]> (r, W)  s = MatMul(z, S)  y = Conv(s, B) }"""
_DEFORM = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, float[18, 3, 3, 3] O, float[9, 3, 3, 3] M, float[6, 8, 3, 3] W, float[6] b, float[4, 6, 1, 1] B>
    { h = Conv(x, A)  o = Conv(x, O)  m0 = Conv(x, M)  m = Sigmoid(m0)
      z = DeformConv <kernel_shape = [3, 3]> (h, W, o, b, m)  y = Conv(z, B) }"""
_INTEGER = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, uint8[6, 8, 3, 3] W, float s = {0.02}, uint8 o = {128}, float t = {0.0001}, float[4, 6, 1, 1] B>
    { h = Conv(x, A)  q = QuantizeLinear(h, s, o)  i = ConvInteger(q, W, o, o)  f = Cast <to = 1> (i)
      z = Mul(f, t)  y = Conv(z, B) }"""

_GROUPED = "float[12, 4, 3, 3] W, float[12] b"  # two groups of 4 -> 6

_QLINEAR = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <float[8, 3, 1, 1] A, uint8[6, 8, 3, 3] W, {scale}, int32[6] b, float s = {{0.02}}, uint8 o = {{128}}, float t = {{0.05}},
     float[4, 6, 1, 1] B>
    {{ h = Conv(x, A)  q = QuantizeLinear(h, s, o)  i = QLinearConv(q, s, o, W, u, v, t, o, b)  z = DequantizeLinear(i, t, o)
      y = Conv(z, B) }}"""

CASES = (
    Case(
        "QLinearConv",
        _QLINEAR.format(scale="float u = {0.02}, uint8 v = {50}"),
        "A[0] W[0]",
        what="one scale",
    ),
    Case(
        "QLinearConv",
        _QLINEAR.format(scale="float[6] u, uint8[6] v"),
        "A[0] W[0]",
        what="a scale for each channel",
        given={"u": [0.02, 0.01, 0.03, 0.02, 0.02, 0.01], "v": [50] * 6},
    ),
    Case(
        "Conv",
        image("z = Conv(h, W, b)", "float[6, 8, 3, 3] W, float[6] b", z=6),
        "A[0] W[0]",
        frozen={"A[1]": 'an axis of graph input "x"', "B[0]": 'reaches graph output "y"'},
    ),
    Case("Conv", image("z = Conv(h, W)", "float[6, 8, 3, 3] W", z=6), "A[0] W[0]", what="no bias"),
    Case("Conv", _ROW, "A[0] W[0]", what="1d"),
    *(
        Case(
            op,
            _TOKENS.format(product=f"z = {op}({given})"),
            "A[1]",
            frozen={"B[1]": 'reaches graph output "y"'},
            what=f"neurons beside a kernel of one, {what}",
        )
        for op in ("Conv", "ConvTranspose")
        for what, given in (("no bias", "h, W"), ("a bias", "h, W, b"))
    ),
    Case(
        "Conv",
        _TOKENS.format(product="z = Conv <pads = [1, 0]> (h, W) ").replace("8, 4] B", "9, 4] B"),
        frozen={"A[1]": "a spatial axis of Conv"},
        what="neurons beside a kernel of one that is moved",
    ),
    Case("Conv", _SIDE, "A[0] W[0] R[1]", what="neurons beside channels"),
    Case("Conv", _VOLUME, "A[0]", what="3d"),
    Case("Conv", image("z = Conv <group = 2> (h, W, b)", _GROUPED, z=12), "A[0].2 W[0]", what="groups"),
    Case(
        "Conv",
        image("z = Conv <group = 8> (h, W, b)", "float[8, 1, 3, 3] W, float[8] b"),
        "A[0]",
        what="depthwise",
    ),
    Case(
        "Conv",
        image("z = Conv <group = 8> (h, W, b)", "float[16, 1, 3, 3] W, float[16] b", z=16),
        "A[0]",
        what="depthwise with multiplier",
    ),
    Case(
        "Conv",
        image("m = Conv(h, W, b) z = Mul(h, m)", "float[1, 8, 1, 1] W, float[1] b"),
        "A[0]",
        what="one output channel is not depthwise",
    ),
    Case(
        "Conv",
        image("d = Conv <group = 8, pads = [1, 1, 1, 1]> (h, W) z = Add(h, d)", "float[8, 1, 3, 3] W"),
        "A[0]",
        what="depthwise residual",
    ),
    Case(
        "ConvTranspose",
        image("z = ConvTranspose <strides = [2, 2]> (h, W, b)", "float[8, 6, 2, 2] W, float[6] b", z=6),
        "A[0] W[1]",
    ),
    Case(
        "ConvTranspose",
        image("z = ConvTranspose <group = 2> (h, W, b)", "float[8, 3, 2, 2] W, float[6] b", z=6),
        "A[0].2 W[1]",
        what="groups",
    ),
    Case(
        "ConvTranspose",
        image("z = ConvTranspose <group = 8> (h, W)", "float[8, 1, 2, 2] W"),
        "A[0]",
        what="depthwise",
    ),
    Case("DeformConv", _DEFORM, "A[0] W[0]", opset=22, frozen={"O[0]": "a fixed part of"}),
    Case("ConvInteger", _INTEGER, "A[0] W[0]"),
    Case(
        "DepthToSpace",
        image('z = DepthToSpace <blocksize = 2, mode = "DCR"> (h)', h=24, z=6),
        "A[0].3",
        what="DCR",
        frozen={"A[0]": "told apart"},
    ),
    Case(
        "DepthToSpace",
        image('z = DepthToSpace <blocksize = 2, mode = "CRD"> (h)', h=24, z=6),
        "A[0]",
        what="CRD",
    ),
    Case("SpaceToDepth", image("z = SpaceToDepth <blocksize = 2> (h)", h=6, z=24), "A[0]"),
    Case(
        "CausalConvWithState",
        tokens(
            't1 = Transpose <perm = [0, 2, 1]> (h) c, s = CausalConvWithState <activation = "silu"> (t1, W, w) '
            "z = Transpose <perm = [0, 2, 1]> (c)",
            "float[12, 1, 3] W, float[12] w",
        ),
        "A[1]",
        opset=27,
    ),
)
