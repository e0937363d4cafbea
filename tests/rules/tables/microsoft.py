"""Domain com.microsoft: activations, norms, convolutions and products with something fused in."""

from __future__ import annotations

from tests.rules.building import Case, flat, image, tokens

_OVER = {"A[1]": "normalised over by"}


def _ms(op: str, text: str, cut: str, **more: object) -> Case:
    return Case(f"com.microsoft.{op}", text, cut, **more)  # type: ignore[arg-type]


_GROUPED = "float[6, 4, 3, 3] W, float[6] w"
_SKIP = "float[12] gain, float[12] b, float[12] c, float[12, 6] W"
_NORMED = "g = MatMul(n0, W) z = Relu(g)"
_IDS = """net (int32[n, t] ids) => (float[N, T, V] y)
    <float[9, 12] E, float[9, 12] P, float[12] gain, float[12] b, float[12, 6] W, float[6, 3] B>
    { n0, i = com.microsoft.EmbedLayerNormalization(ids, , E, P, , gain, b)  g = MatMul(n0, W)  z = Relu(g)  y = MatMul(z, B) }"""
_QIDS = """net (int32[n, t] ids) => (float[N, T, V] y)
    <uint8[9, 12] E, uint8[9, 12] P, uint8[12] G, uint8[12] b, float s = {0.02}, uint8 o = {50}, float[12, 6] W, float[6, 3] B>
    { n0, i = com.microsoft.QEmbedLayerNormalization(ids, , E, P, , G, b, , s, s, , s, s, o, o, , o, o)
      g = MatMul(n0, W)  z = Relu(g)  y = MatMul(z, B) }"""

CASES = (
    *(_ms(op, tokens(f"z = com.microsoft.{op}(h)"), "A[1]") for op in ("Gelu", "QuickGelu", "ScaledSiLU")),
    _ms("QuickGelu", tokens("z = com.microsoft.QuickGelu <alpha = 2.0> (h)"), "A[1]", what="alpha"),
    _ms("BiasGelu", tokens("z = com.microsoft.BiasGelu(h, b)", "float[12] b"), "A[1]"),
    _ms("FastGelu", tokens("z = com.microsoft.FastGelu(h, b)", "float[12] b"), "A[1]"),
    _ms("FastGelu", tokens("z = com.microsoft.FastGelu(h)"), "A[1]", what="no bias"),
    _ms(
        "FastGelu",
        tokens("f = com.microsoft.FastGelu(h) z = ReduceSum(f, one)", "int64[1] one = {2}", z=1),
        "A[1]",
        what="its zeros are summed",
    ),
    _ms(
        "SkipLayerNormalization",
        tokens(f"n0 = com.microsoft.SkipLayerNormalization(h, h, gain, b, c) {_NORMED}", _SKIP, z=6),
        "W[1]",
        approximate=_OVER,
    ),
    _ms(
        "SkipLayerNormalization",
        tokens(
            "s = MatMul(x, S) n0, m, v, u = com.microsoft.SkipLayerNormalization(h, s, gain, b) g = MatMul(u, W) z = Relu(g)",
            _SKIP + ", float[4, 12] S",
            z=6,
        ),
        "W[1]",
        approximate=_OVER,
        what="its sum is read",
    ),
    _ms(
        "SkipSimplifiedLayerNormalization",
        tokens(f"n0 = com.microsoft.SkipSimplifiedLayerNormalization(h, h, gain) {_NORMED}", _SKIP, z=6),
        "W[1]",
        approximate=_OVER,
    ),
    _ms("EmbedLayerNormalization", _IDS, "W[1]", approximate={"E[1]": "normalised"}),
    _ms("QEmbedLayerNormalization", _QIDS, "W[1]", approximate={"E[1]": "normalised"}),
    _ms(
        "GatedRMSNorm",
        tokens(
            f'n0 = com.microsoft.GatedRMSNorm <activation = "silu"> (h, gain, h) {_NORMED}',
            "float[4] gain, float[12, 6] W",
            z=6,
        ),
        "W[1] A[1]",
        approximate={"A[1].2": "normalised"},
    ),
    _ms(
        "BranchwiseRMSNorm",
        tokens(
            f"n0 = com.microsoft.BranchwiseRMSNorm <num_branches = 3> (h, gain) {_NORMED}",
            "float[12] gain, float[12, 6] W",
            z=6,
        ),
        "W[1]",
        approximate={"A[1].2": "normalised"},
        frozen={"A[1]": "branches"},
    ),
    _ms(
        "FusedConv",
        image(
            'z = com.microsoft.FusedConv <activation = "Relu", pads = [1, 1, 1, 1], group = 2> (h, W, w)',
            _GROUPED,
            z=6,
        ),
        "A[0].2 W[0]",
        what="groups and Relu",
    ),
    _ms(
        "FusedConv",
        image(
            'c = Conv(h, C) z = com.microsoft.FusedConv <activation = "Relu", pads = [1, 1, 1, 1]> (h, W, w, c)',
            "float[6, 8, 3, 3] W, float[6] w, float[6, 8, 1, 1] C",
            z=6,
        ),
        "A[0] W[0]",
        what="a residual sum",
    ),
    _ms(
        "FusedConv",
        image(
            'f = com.microsoft.FusedConv <activation = "{act}"{more}> (h, W, w) z = ReduceSum(f, one)'.format(
                act="Sigmoid", more=""
            ),
            "float[6, 8, 1, 1] W, float[6] w, int64[1] one = {1}",
            z=1,
        ),
        "A[0]",
        approximate={"W[0]": "do not hold zero"},
        what="Sigmoid is not zero at zero",
    ),
    _ms(
        "FusedConv",
        image(
            'f = com.microsoft.FusedConv <activation = "Clip", activation_params = [0.0, 6.0]> (h, W, w) z = ReduceSum(f, one)',
            "float[6, 8, 1, 1] W, float[6] w, int64[1] one = {1}",
            z=1,
        ),
        "A[0] W[0]",
        what="Clip around zero",
    ),
    _ms(
        "ConvTransposeWithDynamicPads",
        image(
            "z = com.microsoft.ConvTransposeWithDynamicPads(h, W, p, w)",
            "float[8, 6, 3, 3] W, int64[4] p = {1, 1, 1, 1}, float[6] w",
            z=6,
        ),
        "A[0] W[1]",
    ),
    _ms(
        "CausalConvWithState",
        tokens(
            't1 = Transpose <perm = [0, 2, 1]> (h) c, s = com.microsoft.CausalConvWithState <activation = "silu"> (t1, W, w) '
            "z = Transpose <perm = [0, 2, 1]> (c)",
            "float[12, 1, 3] W, float[12] w",
        ),
        "A[1]",
    ),
    _ms(
        "FusedMatMul",
        tokens("z = com.microsoft.FusedMatMul <alpha = 0.5> (h, W)", "float[12, 6] W", z=6),
        "A[1] W[1]",
    ),
    _ms(
        "FusedMatMul",
        tokens("z = com.microsoft.FusedMatMul <transB = 1> (h, W)", "float[6, 12] W", z=6),
        "A[1] W[0]",
        what="transB",
    ),
    _ms(
        "FusedMatMul",
        flat("t = Transpose(h) z = com.microsoft.FusedMatMul <transA = 1> (t, W)", "float[8, 6] W", z=6),
        "A[1] W[1]",
        what="transA",
    ),
    _ms(
        "FusedMatMul",
        """net (float[n, 5, 4] x) => (float[N, M, V] y)
        <float[4, 12] Q, float[4, 12] K, float[4, 12] V, int64[4] s = {0, 0, 3, 4}, int64[3] m = {0, 0, 12}, float[12, 3] B>
        { q = MatMul(x, Q) k = MatMul(x, K) v = MatMul(x, V) q4 = Reshape(q, s) k4 = Reshape(k, s) v4 = Reshape(v, s)
          qt = Transpose <perm = [0, 2, 1, 3]> (q4) kt = Transpose <perm = [0, 2, 1, 3]> (k4) vt = Transpose <perm = [0, 2, 1, 3]> (v4)
          c = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (qt, kt) p = Softmax <axis = -1> (c) o = MatMul(p, vt)
          u = Transpose <perm = [0, 2, 1, 3]> (o) z = Reshape(u, m) y = MatMul(z, B) }""",
        "Q[1]",
        what="heads",
    ),
    _ms(
        "FusedMatMul",
        """net (float[2, 3, 4] x) => (float[N, M, V] y) <float[4, 8] A, float[3, 8, 6] W, float[6, 3] B>
        { h = MatMul(x, A) z = com.microsoft.FusedMatMul <transBatchA = 1> (h, W) y = MatMul(z, B) }""",
        "A[1] W[2]",
        what="the first axis among the batch",
    ),
    _ms(
        "TransposeMatMul",
        tokens("z = com.microsoft.TransposeMatMul(h, W)", "float[12, 6] W", z=6),
        "A[1] W[1]",
    ),
    _ms(
        "FusedGemm",
        flat(
            'z = com.microsoft.FusedGemm <activation = "Relu", transB = 1> (h, W, b)',
            "float[6, 8] W, float[6] b",
            z=6,
        ),
        "A[1] W[0]",
    ),
    _ms(
        "FusedGemm",
        flat(
            'f = com.microsoft.FusedGemm <activation = "Sigmoid"> (h, W, b) z = ReduceSum(f, one)',
            "float[8, 6] W, float[6] b, int64[1] one = {1}",
            z=1,
        ),
        "A[1]",
        approximate={"W[1]": "do not hold zero"},
        what="Sigmoid is not zero at zero",
    ),
    _ms(
        "GatherND",
        flat(
            "t = Transpose(h) g = com.microsoft.GatherND(t, i) z = Transpose(g)",
            "int64[3, 1] i = {0, 2, 1}",
            z=3,
        ),
        "A[1] A[1].2",
    ),
    _ms(
        "GridSample",
        """net (float[1, 3, 6, 6] x) => (float[N, C, H, W] y) <float[8, 3, 3, 3] A, float[1, 5, 5, 2] g, float[5, 8, 1, 1] B>
        { h = Conv(x, A) z = com.microsoft.GridSample(h, g) y = Conv(z, B) }""",
        "A[0]",
    ),
    _ms("Pad", flat("z = com.microsoft.Pad(h, p)", "int64[4] p = {0, 1, 0, 2}", z=11), "A[1] B[0]"),
    _ms(
        "Range",
        flat(
            "r = com.microsoft.Range(zero, eight, one) z = Add(h, r)",
            "float zero = {0}, float eight = {8}, float one = {1}",
        ),
        "",
        frozen={"A[1]": "made by"},
    ),
    _ms(
        "Trilu",
        tokens("t1 = com.microsoft.Trilu(h) z = Add(t1, t1)"),
        "",
        frozen={"A[1]": "positions"},
    ),
    _ms("ExpandDims", tokens("z = com.microsoft.ExpandDims(h, one)", "int32 one = {1}", rank=4), "A[1]"),
    _ms(
        "UnfoldTensor",
        tokens(
            "u = com.microsoft.UnfoldTensor <dim = 1, size = 2, step = 1> (h) z = Transpose <perm = [0, 1, 3, 2]> (u)",
            rank=4,
        ),
        "A[1]",
    ),
    _ms(
        "CDist",
        """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[4, 8] C, float[5, 4] P, float[5, 3] B>
        { h = MatMul(x, A) g = MatMul(P, C) d = com.microsoft.CDist <metric = "sqeuclidean"> (h, g) z = Relu(d) y = MatMul(z, B) }""",
        "A[1] B[0]",
    ),
    _ms(
        "CropAndResize",
        image(
            "z = com.microsoft.CropAndResize(h, r, i, s)",
            "float[2, 4] r = {0.0, 0.0, 1.0, 1.0, 0.1, 0.1, 0.8, 0.8}, int32[2] i = {0, 0}, int32[2] s = {3, 3}",
        ),
        "A[0]",
    ),
    _ms(
        "HyperConnectionPreMix",
        tokens(
            "r = Reshape(h, s) g = MatMul(x, G) z = com.microsoft.HyperConnectionPreMix(r, g)",
            "float[4, 4] G, int64[4] s = {0, 0, 4, 8}",
            h=32,
            z=8,
        ),
        "A[1].2",
        frozen={"A[1]": "mixed by"},
    ),
    _ms(
        "HyperConnectionPreMix",
        tokens(
            "g = MatMul(x, G) z = com.microsoft.HyperConnectionPreMix <num_branches = 4, reduction_scale = 0.5> (h, g)",
            "float[4, 32] G",
            h=32,
            z=8,
        ),
        "A[1].2",
        frozen={"A[1]": "mixed by"},
        what="side by side, a gate for each slot",
    ),
    _ms(
        "HyperConnectionPostMix",
        tokens(
            "r = Reshape(h, s) g0 = MatMul(x, G) g = Reshape(g0, s) b = MatMul(x, C) m0 = MatMul(x, M) m = Reshape(m0, f) "
            "o = com.microsoft.HyperConnectionPostMix(r, b, g, m) z = Reshape(o, w)",
            "float[4, 8] C, float[4, 16] M, float[4, 32] G, int64[4] s = {0, 0, 4, 8}, int64[4] f = {0, 0, 4, 4}, int64[3] w = {0, 0, 32}",
            h=32,
        ),
        "A[1].2",
        frozen={"A[1]": "mixed by"},
    ),
    _ms(
        "HyperConnectionPostMix",
        tokens(
            "b = MatMul(x, C) g = MatMul(x, G) o = com.microsoft.HyperConnectionPostMix <num_branches = 4> (h, b, g) z = Relu(o)",
            "float[4, 8] C, float[4, 4] G",
            h=32,
        ),
        "A[1].2",
        frozen={"A[1]": "mixed by"},
        what="side by side, not mixed",
    ),
    _ms("GatedAdd", tokens("k = MatMul(x, K) z = com.microsoft.GatedAdd(h, h, k)", "float[4, 1] K"), "A[1]"),
)
