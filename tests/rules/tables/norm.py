"""Normalisations."""

from __future__ import annotations

from tests.rules.building import Case, image, tokens

_OVER = "normalised over by"
_BATCH = "float[8] gain, float[8] b, float[8] m, float[8] var"
_ALONG_ALL = {"A[1]": _OVER}

CASES = (
    Case("BatchNormalization", image("z = BatchNormalization(h, gain, b, m, var)", _BATCH), "A[0]"),
    Case(
        "BatchNormalization",
        """net (float[n, 4] x) => (float[N, 3] y) <float[4, 8] A, float[8] gain, float[8] b, float[8] m, float[8] var, float[8, 3] B>
        { h = MatMul(x, A)  z = BatchNormalization(h, gain, b, m, var)  y = MatMul(z, B) }""",
        "A[1]",
        what="flat, opset 9",
        opset=9,
    ),
    Case(
        "InstanceNormalization",
        image("z = InstanceNormalization(h, gain, b)", "float[8] gain, float[8] b"),
        "A[0]",
    ),
    Case(
        "GroupNormalization",
        image("z = GroupNormalization <num_groups = 4> (h, gain, b)", "float[4] gain, float[4] b"),
        "A[0]",
        approximate={"A[0].2": _OVER},
        what="opset 18",
    ),
    Case(
        "GroupNormalization",
        image("z = GroupNormalization <num_groups = 4> (h, gain, b)", "float[8] gain, float[8] b"),
        "A[0]",
        approximate={"A[0].2": _OVER},
        what="opset 21",
        opset=21,
    ),
    Case(
        "LayerNormalization",
        tokens(
            "n0 = LayerNormalization(h, gain, b) g = MatMul(n0, W) z = Relu(g)",
            "float[12] gain, float[12] b, float[12, 6] W",
            z=6,
        ),
        "W[1]",
        approximate=_ALONG_ALL,
    ),
    Case(
        "LayerNormalization",
        tokens("z = LayerNormalization(h, gain)", "float[12] gain"),
        approximate=_ALONG_ALL,
        what="no bias",
    ),
    Case(
        "LayerNormalization",
        tokens(
            "k = Reshape(h, s) l = LayerNormalization <axis = 2> (k, gain) z = Reshape(l, m)",
            "int64[4] s = {0, 0, 3, 4}, float[3, 4] gain, int64[3] m = {0, 0, 12}",
        ),
        approximate={"A[1]": _OVER, "A[1].2": _OVER},
        what="two axes",
    ),
    Case(
        "LayerNormalization",
        tokens(
            "k = Reshape(h, s) l = LayerNormalization(k, gain) z = Reshape(l, m)",
            "int64[4] s = {0, 0, 3, 4}, float[4] gain, int64[3] m = {0, 0, 12}",
        ),
        "A[1]",
        approximate={"A[1].2": _OVER},
        what="inside each head",
    ),
    Case(
        "RMSNormalization",
        tokens(
            "n0 = RMSNormalization(h, gain) g = MatMul(n0, W) z = Relu(g)",
            "float[12] gain, float[12, 6] W",
            z=6,
        ),
        "W[1]",
        approximate=_ALONG_ALL,
        opset=23,
    ),
    Case(
        "SimplifiedLayerNormalization",
        tokens(
            "n0 = SimplifiedLayerNormalization(h, gain) g = MatMul(n0, W) z = Relu(g)",
            "float[12] gain, float[12, 6] W",
            z=6,
        ),
        "W[1]",
        approximate=_ALONG_ALL,
    ),
    Case("LpNormalization", image("z = LpNormalization <axis = 2, p = 2> (h)"), "A[0]", what="over space"),
    Case(
        "LpNormalization",
        image("z = LpNormalization <axis = 1, p = 2> (h)"),
        approximate={"A[0]": _OVER},
        what="over channels",
    ),
    Case(
        "MeanVarianceNormalization",
        image("z = MeanVarianceNormalization(h)"),
        approximate={"A[0]": "do not hold zero"},
    ),
    Case(
        "MeanVarianceNormalization",
        image("z = MeanVarianceNormalization <axes = [1, 2, 3]> (h)"),
        approximate={"A[0]": "do not hold zero"},
        what="over channels",
    ),
    Case(
        "LRN",
        image("p = LRN <size = 3> (h) q = Conv(p, W) z = Relu(q)", "float[6, 8, 1, 1] W", z=6),
        "W[0]",
        frozen={"A[0]": "told apart"},
    ),
)
