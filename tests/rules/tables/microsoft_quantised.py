"""Domain com.microsoft: integers with scales, weights packed in blocks, and mixtures of experts."""

from __future__ import annotations

import numpy as np

from tests.rules.building import Case, image, tokens


def _ms(op: str, text: str, cut: str, **more: object) -> Case:
    return Case(f"com.microsoft.{op}", text, cut, **more)  # type: ignore[arg-type]


_SCALES = "float s = {0.05}, uint8 o = {120}, float t = {0.1}, uint8 p = {100}"


def _between(body: str, weights: str = "", *, h: int = 8, z: int | None = None) -> str:
    """Integers q (scale s, zero point o) of a layer -> body -> integers r (scale t, zero point p)."""
    return tokens(
        f"q = QuantizeLinear(h, s, o) {body} z = DequantizeLinear(r, t, p)",
        f"{_SCALES}{', ' if weights else ''}{weights}",
        h=h,
        z=z,
    )


def _picture(body: str, weights: str = "", *, z: int | None = None) -> str:
    return image(
        f"q = QuantizeLinear(h, s, o) {body} z = DequantizeLinear(r, t, p)",
        f"{_SCALES}{', ' if weights else ''}{weights}",
        z=z,
    )


def _integer_lstm(scales: str) -> str:
    return f"""net (float[7, n, 4] x) => (float[S, R, N, V] y)
    <float[4, 6] A, int8[1, 6, 20] W, int8[1, 5, 20] R, float[1, 40] b, {scales}, float[5, 3] B>
    {{ h0 = MatMul(x, A) h = Relu(h0) z = com.microsoft.DynamicQuantizeLSTM <hidden_size = 5> (h, W, R, b, , , , , u, v, u, v) y = MatMul(z, B) }}"""


def _nbits(bits: int, extra: str = "", more: str = "", *, rows: int = 6) -> str:
    """Two blocks of 16 columns."""
    return tokens(
        f"z = com.microsoft.MatMulNBits <N = {rows}, K = 32, block_size = 16, bits = {bits}> (h, W, S{extra})",
        f"uint8[{rows}, 2, {2 * bits}] W, float[{rows}, 2] S{more}",
        h=32,
        z=rows,
    )


_GATHER = """net (int64[n, t] ids) => (float[N, T, V] y)
    <{table}, float[9, 2] S, float[32, 6] W, float[6, 3] B>
    {{ h = com.microsoft.GatherBlockQuantized <block_size = 16, quantize_axis = 1, bits = {bits}> (E, ids, S)
       g = MatMul(h, W) z = Relu(g) y = MatMul(z, B) }}"""


def _moe(attributes: str, weights: str, operands: str, op: str = "MoE", h: int = 12) -> str:
    return tokens(
        f"g0 = MatMul(x, R) g1 = Reshape(g0, rs) z = com.microsoft.{op} <k = 2, {attributes}> (h, g1, {operands})",
        f"float[4, 4] R, int64[2] rs = {{-1, 4}}, {weights}",
        h=h,
    )


_BNB = "float[12] S"
_EXPERTS = "float[4, 10, 12] F, float[4, 10] f, float[4, 12, 10] G, float[4, 12] g"
_PACKED_EXPERTS = "uint8[4, 32, 16] F, float[4, 32] f, uint8[4, 32, 16] G, float[4, 32] g"

CASES = (
    _ms(
        "QuantizeLinear",
        tokens(
            "q = com.microsoft.QuantizeLinear <axis = 2> (h, s, o) z = com.microsoft.DequantizeLinear <axis = 2> (q, s, o)",
            "float[12] s, uint8[12] o",
        ),
        "A[1]",
        given={"s": [0.05] * 12, "o": [120] * 12},
    ),
    _ms(
        "DequantizeLinear",
        tokens(
            "w = com.microsoft.DequantizeLinear <axis = 1> (W, s, o) z = MatMul(h, w)",
            "uint8[12, 6] W, float[6] s, uint8[6] o",
            z=6,
        ),
        "A[1] W[1]",
        given={"s": [0.02] * 6, "o": [50] * 6},
    ),
    _ms(
        "QLinearAdd",
        _between(
            "g = MatMul(x, G) k = QuantizeLinear(g, s, o) r = com.microsoft.QLinearAdd(q, s, o, k, s, o, t, p)",
            "float[4, 8] G",
        ),
        "A[1]",
    ),
    _ms(
        "QLinearAdd",
        _between("r = com.microsoft.QLinearAdd(q, s, o, W, t, o, t, p)", "uint8[8] W"),
        "A[1]",
        what="a stored operand",
    ),
    _ms("QLinearMul", _between("r = com.microsoft.QLinearMul(q, s, o, W, t, o, t, p)", "uint8[8] W"), "A[1]"),
    _ms(
        "QLinearWhere",
        _between(
            "c = Greater(h, zero) r = com.microsoft.QLinearWhere(c, q, s, o, q, s, o, t, p)",
            "float zero = {0}",
        ),
        "A[1]",
    ),
    _ms(
        "QLinearLeakyRelu",
        _between("r = com.microsoft.QLinearLeakyRelu <alpha = 0.1> (q, s, o, t, p)"),
        "A[1]",
    ),
    _ms("QLinearSigmoid", _between("r = com.microsoft.QLinearSigmoid(q, s, o, t, p)"), "A[1]"),
    _ms(
        "QLinearSoftmax",
        _between("r = com.microsoft.QLinearSoftmax <axis = 1, opset = 13> (q, s, o, t, p)").replace(
            "(float[n, t, 4] x)", "(float[n, 5, 4] x)"
        ),
        "A[1]",
    ),
    _ms(
        "QLinearConcat",
        _between(
            "g = MatMul(x, G) k = QuantizeLinear(g, s, o) r = com.microsoft.QLinearConcat <axis = 2> (t, p, q, s, o, k, s, o)",
            "float[4, 6] G",
            z=14,
        ),
        "A[1] G[1]",
    ),
    _ms(
        "QLinearAveragePool",
        _picture("r = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2]> (q, s, o, t, p)"),
        "A[0]",
    ),
    _ms(
        "QLinearGlobalAveragePool",
        _picture("r = com.microsoft.QLinearGlobalAveragePool(q, s, o, t, p)"),
        "A[0]",
    ),
    _ms(
        "QLinearGlobalAveragePool",
        _picture(
            "l = Transpose <perm = [0, 2, 3, 1]> (q) m = com.microsoft.QLinearGlobalAveragePool <channels_last = 1> (l, s, o, t, p) "
            "r = Transpose <perm = [0, 3, 1, 2]> (m)"
        ),
        "A[0]",
        what="channels last",
    ),
    _ms(
        "NhwcMaxPool",
        _picture(
            "l = Transpose <perm = [0, 2, 3, 1]> (q) m = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2]> (l) r = Transpose <perm = [0, 3, 1, 2]> (m)"
        ),
        "A[0]",
    ),
    _ms(
        "QLinearConv",
        _picture(
            "l = Transpose <perm = [0, 2, 3, 1]> (q) m = com.microsoft.QLinearConv <channels_last = 1, pads = [1, 1, 1, 1]> (l, s, o, W, u, v, t, p, w) "
            "r = Transpose <perm = [0, 3, 1, 2]> (m)",
            "int8[6, 8, 3, 3] W, float[6] u, int8[6] v, int32[6] w",
            z=6,
        ),
        "A[0] W[0]",
        what="channels last",
        given={"u": [0.002] * 6, "v": [0] * 6},
    ),
    _ms(
        "QGemm",
        """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, uint8[6, 8] W, float[6] u, uint8[6] v, int32[6] c, float s = {0.05}, uint8 o = {120}, float[6, 3] B>
        { h = MatMul(x, A) q = QuantizeLinear(h, s, o) z = com.microsoft.QGemm <transB = 1> (q, s, o, W, u, v, c) y = MatMul(z, B) }""",
        "A[1] W[0]",
        given={"u": [0.02] * 6, "v": [50] * 6},
    ),
    _ms(
        "DynamicQuantizeMatMul",
        tokens(
            "r = Relu(h) z = com.microsoft.DynamicQuantizeMatMul(r, W, u, v, b)",
            "uint8[12, 6] W, float[6] u, uint8[6] v, float[6] b",
            z=6,
        ),
        "A[1] W[1]",
        given={"u": [0.02] * 6, "v": [50] * 6},
    ),
    _ms(
        "DynamicQuantizeMatMul",
        tokens(
            "e = Exp(h) z = com.microsoft.DynamicQuantizeMatMul(e, W, u)",
            "int8[12, 6] W, float u = {0.02}",
            z=6,
        ),
        "W[1]",
        approximate={"A[1]": "do not hold zero"},
        what="of what is never zero",
    ),
    _ms(
        "MatMulIntegerToFloat",
        tokens(
            "q, u, v = DynamicQuantizeLinear(h) z = com.microsoft.MatMulIntegerToFloat(q, W, u, k, v, l, b)",
            "uint8[12, 6] W, float[6] k, uint8[6] l, float[6] b",
            z=6,
        ),
        "A[1] W[1]",
        given={"k": [0.02] * 6, "l": [50] * 6},
    ),
    _ms(
        "MatMulInteger16",
        tokens(
            "q = Cast <to = 5> (h) i = com.microsoft.MatMulInteger16(q, W) z = Cast <to = 1> (i)",
            "int16[12, 6] W",
            z=6,
        ),
        "A[1] W[1]",
    ),
    _ms(
        "DynamicQuantizeLSTM",
        _integer_lstm("float[1] u = {0.02}, int8[1] v = {3}"),
        "A[1] W[2].2",
    ),
    _ms(
        "DynamicQuantizeLSTM",
        _integer_lstm("float[1, 20] u, int8[1, 20] v"),
        "A[1] W[2].2",
        what="a scale for each column",
        given={"u": [0.02] * 20, "v": [0] * 20},
    ),
    _ms("MatMulNBits", _nbits(4), "A[1] W[0]", frozen={"A[1].2": "only whole blocks can go"}),
    _ms("MatMulNBits", _nbits(8, ", , , w", ", float[6] w"), "A[1] W[0]", what="8 bits and a bias"),
    _ms(
        "MatMulNBits",
        _nbits(4, ", Z", ", uint8[6, 1] Z"),
        "W[0]",
        what="zero points share a byte",
        frozen={"A[1]": "share a byte"},
    ),
    _ms("MatMulNBits", _nbits(4, ", Z", ", float[6, 2] Z"), "A[1] W[0]", what="plain zero points"),
    _ms(
        "MatMulNBits",
        tokens(
            "z = com.microsoft.MatMulNBits <N = 6, K = 56, block_size = 16, bits = 4> (h, W, S, Z)",
            "uint8[6, 4, 8] W, float[6, 4] S, float[6, 4] Z",
            h=56,
            z=6,
        ),
        "A[1] W[0]",
        what="the last block is cut short",
        frozen={"A[1].2": "only whole blocks can go", "A[1].3": "the last of them cut short"},
    ),
    _ms(
        "MatMulBnb4",
        tokens(
            "z = com.microsoft.MatMulBnb4 <N = 6, K = 32, block_size = 16, quant_type = 1> (h, W, S)",
            f"uint8[96] W, {_BNB}",
            h=32,
            z=6,
        ),
        "W[0]",
    ),
    _ms("GatherBlockQuantized", _GATHER.format(table="uint8[9, 16] E", bits=4), "E[1] W[1]", what="4 bits"),
    _ms("GatherBlockQuantized", _GATHER.format(table="uint8[9, 32] E", bits=8), "E[1] W[1]", what="8 bits"),
    _ms(
        "GatherBlockQuantized",
        """net (int64[n, t] ids) => (float[N, T, V] y)
        <uint8[9, 28] E, float[9, 4] S, uint8[9, 2] Z, float[56, 6] W, float[6, 3] B>
        { h = com.microsoft.GatherBlockQuantized <block_size = 16, quantize_axis = 1, bits = 4> (E, ids, S, Z)
          g = MatMul(h, W) z = Relu(g) y = MatMul(z, B) }""",
        "W[1]",
        frozen={"E[1].3": "the last of them cut short"},
        what="the last block is cut short, zero points share a byte",
    ),
    _ms(
        "GatherBlockQuantized",
        """net (int64[n, t] ids) => (float[N, T, V] y)
        <uint8[9, 28] E, float[9, 4] S, float[56, 6] W, float[6, 3] B>
        { h = com.microsoft.GatherBlockQuantized <block_size = 16, quantize_axis = 1, bits = 4> (E, ids, S)
          g = MatMul(h, W) z = Relu(g) y = MatMul(z, B) }""",
        "E[1] W[1]",
        frozen={"E[1].2": "only whole blocks can go"},
        what="the last block is cut short",
    ),
    _ms(
        "GatherBlockQuantized",
        """net (int64[n, t] ids) => (float[N, T, V] y) <int4[32, 12] E, float[2, 12] S, float[12, 6] W, float[6, 3] B>
        { h = com.microsoft.GatherBlockQuantized <block_size = 16, quantize_axis = 0> (E, ids, S)
          g = MatMul(h, W) z = Relu(g) y = MatMul(z, B) }""",
        "E[1] W[1]",
        frozen={"E[0]": "looked up", "S[0]": "looked up"},
        what="blocks of rows",
        given={"E": np.arange(384) * 5 % 15 - 7},
    ),
    _ms("MoE", _moe('activation_type = "gelu"', _EXPERTS, "F, f, G, g"), "A[1] R[1] F[1]"),
    _ms(
        "MoE",
        _moe('activation_type = "relu", use_sparse_mixer = 1', _EXPERTS, "F, f, G, g"),
        "A[1] F[1]",
        what="scores that are divided",
        frozen={"R[1]": "chosen by value"},
    ),
    _ms(
        "MoE",
        _moe(
            'activation_type = "swiglu"',
            "float[4, 20, 12] F, float[4, 20] f, float[4, 12, 10] G, float[4, 12] g",
            "F, f, G, g",
        ),
        "",
        what="a gate that is not said to be one",
        frozen={"A[1]": "do not fit: 20 slots meet 10", "F[1]": "do not fit"},
        runs=False,
    ),
    _ms(
        "MoE",
        _moe(
            'activation_type = "swiglu", swiglu_fusion = 1, activation_alpha = 1.702, activation_beta = 1.0',
            "float[4, 20, 12] F, float[4, 20] f, float[4, 12, 10] G, float[4, 12] g",
            "F, f, G, g",
        ),
        "A[1] R[1] F[1]",
        what="a gate beside each value",
    ),
    _ms(
        "QMoE",
        _moe(
            'activation_type = "silu", expert_weight_bits = 4',
            _PACKED_EXPERTS,
            "F, f, , G, g",
            op="QMoE",
            h=32,
        ),
        "A[1] R[1] F[1]",
        frozen={"A[1].2": "share a byte", "F[1].2": "share a byte"},
    ),
    _ms(
        "QMoE",
        _moe(
            'activation_type = "silu", expert_weight_bits = 4',
            f"{_PACKED_EXPERTS}, float[4, 32] b, float[4, 32] c, uint8[4, 16] Z, uint8[4, 16] Y, float[4, 4] S",
            "F, f, b, G, g, c, , , , Z, Y, , g4",
            op="QMoE",
            h=32,
        )
        .replace("z = com", "g2 = MatMul(x, S) g3 = Softmax(g2) g4 = Reshape(g3, rs) w = com")
        .replace("y = MatMul(z, B)", "z = Add(w, h) y = MatMul(z, B)"),
        "A[1] R[1] F[1]",
        what="biases, zero points, other shares and a residual sum",
    ),
    _ms(
        "QMoE",
        _moe(
            'activation_type = "swiglu", swiglu_fusion = 1, expert_weight_bits = 4, block_size = 16',
            "uint8[4, 64, 16] F, float[4, 64, 2] f, uint8[4, 32, 16] G, float[4, 32, 2] g",
            "F, f, , G, g",
            op="QMoE",
            h=32,
        ),
        "R[1] A[1] F[1]",
        what="blocks and gates",
        frozen={"A[1].2": "only whole blocks can go", "F[1].2": "only whole blocks can go"},
    ),
    _ms(
        "QMoE",
        _moe(
            'activation_type = "silu", expert_weight_bits = 4, block_size = 16',
            "uint8[4, 40, 16] F, float[4, 40, 2] f, uint8[4, 32, 20] G, float[4, 32, 3] g",
            "F, f, , G, g",
            op="QMoE",
            h=32,
        ),
        "R[1] A[1] F[1]",
        what="the last block is cut short",
        frozen={"F[1].2": "only whole blocks can go", "F[1].4": "the last of them cut short"},
    ),
)
