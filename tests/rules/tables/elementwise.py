"""Operators that work slot by slot."""

from __future__ import annotations

import numpy as np

from tests.rules.building import Case, flat, image

# What brings h into the domain of a function: where it yields NaN, equality proves nothing.
_PREPARE = {
    **dict.fromkeys(("Acos", "Asin", "Atanh"), "t = Tanh(h) p = Mul(t, half)"),
    **dict.fromkeys(("Sqrt", "Log", "Reciprocal"), "p = Exp(h)"),
    "Acosh": "t = Exp(h) p = Add(t, half2)",
    "Tan": "t = Tanh(h) p = Mul(t, half)",
}
_SINCE = {"Gelu": 20, "Swish": 24, "Round": 18, "HardSwish": 18, "Mish": 18}
_TO_FLOATS = "z = Cast <to = 1> (r)"


def _smooth(op: str) -> Case:
    text = flat(
        f"{_PREPARE.get(op, 'p = Identity(h)')} z = {op}(p)", "float half = {0.5}, float half2 = {1.5}"
    )
    return Case(op, text, "A[1]", opset=_SINCE.get(op, 18))


def _on_bools(op: str) -> Case:
    body = f"p = Greater(h, zero) q = Greater(g, zero) r = {op}(p, q) {_TO_FLOATS}"
    return Case(op, _two(body, "float zero = {0}"), "A[1]", what="two activations")


def _on_whole(op: str, dtype: int = 6, attributes: str = "") -> Case:
    whole = f"s = Mul(h, ten) p = Cast <to = {dtype}> (s) t = Mul(g, ten) q = Cast <to = {dtype}> (t)"
    body = f"{whole} r = {op} {attributes} (p, q) {_TO_FLOATS}"
    return Case(op, _two(body, "float ten = {10}"), "A[1]", what="whole numbers")


def _two(body: str, weights: str = "") -> str:
    """Two layers h and g of equal width that meet in the operator."""
    return flat(f"g = Gemm(x, G) {body}", f"float[4, 8] G{', ' if weights else ''}{weights}")


_FUNCTIONS = (
    "Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity "
    "LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish "
    "Tan Tanh ThresholdedRelu"
).split()

CASES = (
    *(_smooth(op) for op in _FUNCTIONS),
    Case(
        "Cast",
        flat("p = Mul(h, ten) r = Cast <to = 7> (p) z = Cast <to = 1> (r)", "float ten = {10}"),
        "A[1]",
    ),
    Case(
        "CastLike",
        flat("p = Mul(h, ten) r = CastLike(p, i) z = CastLike(r, ten)", "float ten = {10}, int64 i = {0}"),
        "A[1]",
    ),
    Case("Dropout", flat("z = Dropout(h)"), "A[1]"),
    Case("Dropout", flat("z = Dropout <ratio = 0.5> (h)"), "A[1]", what="ratio as attribute", opset=11),
    Case("Clip", flat("z = Clip(h, low, high)", "float low = {-0.5}, float high = {0.5}"), "A[1]"),
    Case("Clip", flat("z = Clip <min = 0.1, max = 6.0> (h)"), "A[1]", what="bounds as attributes", opset=10),
    Case("IsInf", flat(f"p = Mul(h, big) q = Exp(p) r = IsInf(q) {_TO_FLOATS}", "float big = {300}"), "A[1]"),
    Case("IsNaN", flat(f"p = Log(h) r = IsNaN(p) {_TO_FLOATS}"), "A[1]"),
    Case("Not", flat(f"p = Greater(h, zero) r = Not(p) {_TO_FLOATS}", "float zero = {0}"), "A[1]"),
    Case(
        "BitwiseNot",
        flat(f"s = Mul(h, ten) p = Cast <to = 6> (s) r = BitwiseNot(p) {_TO_FLOATS}", "float ten = {10}"),
        "A[1]",
    ),
    Case(
        "PRelu", image("z = PRelu(h, slope)", "float[8, 1, 1] slope"), "A[0]", what="slope for each channel"
    ),
    Case("PRelu", image("z = PRelu(h, slope)", "float[1] slope"), "A[0]", what="one slope"),
    Case("PRelu", flat("z = PRelu(h, slope)", "float[8] slope"), "A[1]", what="flat"),
    # pairs of activations, of an activation and a weight, and stretched operands
    *(_on_bools(op) for op in ("And", "Or", "Xor")),
    *(_on_whole(op) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Case(
        "BitShift",
        flat(
            f's = Abs(h) p = Cast <to = 12> (s) q = Add(p, three) r = BitShift <direction = "LEFT"> (q, bits) {_TO_FLOATS}',
            "uint32 three = {3}, uint32[8] bits",
        ),
        "A[1]",
        given={"bits": [1, 2, 3, 4, 5, 6, 7, 8]},
    ),
    *(
        Case(op, _two(f"r = {op}(h, g) {_TO_FLOATS}"), "A[1]")
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    Case("Equal", _two(f"p = Round(h) q = Round(g) r = Equal(p, q) {_TO_FLOATS}"), "A[1]"),
    *(
        Case(op, _two(f"z = {op}(h, g)"), "A[1]", what="two activations")
        for op in ("Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum")
    ),
    *(
        Case(op, flat(f"z = {op}(h, v)", "float[8] v"), "A[1]", what="a weight")
        for op in ("Add", "Sub", "Mul", "Max", "Min", "Sum")
    ),
    Case("Sum", _two("k = Relu(g) z = Sum(h, g, k)"), "A[1]", what="three operands"),
    Case("Mean", _two("k = Relu(g) z = Mean(h, k, v)", "float[8] v"), "A[1]", what="three operands"),
    Case("Add", image("z = Add(h, v)", "float[8, 1, 1] v"), "A[0]", what="for each channel"),
    Case(
        "Mul",
        image("m = Conv(x, M) z = Mul(h, m)", "float[1, 3, 1, 1] M"),
        "A[0]",
        what="a map for all channels",
    ),
    Case(
        "Mul",
        image(
            "p = GlobalAveragePool(h) q = Conv(p, S, s) k = Relu(q) e = Conv(k, E, e0) m = Sigmoid(e) z = Mul(h, m)",
            "float[4, 8, 1, 1] S, float[4] s, float[8, 4, 1, 1] E, float[8] e0",
        ),
        "A[0] S[0]",
        what="squeeze and excite",
    ),
    Case(
        "Add",
        image("p = Conv <pads = [1, 1, 1, 1]> (h, G) z = Add(h, p)", "float[8, 8, 3, 3] G"),
        "A[0]",
        what="residual",
    ),
    Case("Add", flat("z = Add(h, x1)", "float[1] x1"), "A[1]", what="a scalar of rank 1"),
    Case(
        "Add",
        flat(
            "p = Unsqueeze(h, one) q = Gemm(x, G) r = Unsqueeze(q, two) s = Add(p, r) t = Relu(s) z = ReduceSum <keepdims = 0> (t, one)",
            "float[4, 6] G, int64[1] one = {1}, int64[1] two = {2}",
        ),
        "A[1]",
        {"G[1]": "do not hold zero"},
        what="outer sum",
    ),
    Case("Div", _two("e = Exp(g) z = Div(h, e)"), "A[1]", what="two activations"),
    Case("Div", flat("z = Div(h, gain)", "float[8] gain"), "A[1]", what="a weight as divisor"),
    Case("Div", _two("z = Div(h, g)"), approximate={"A[1]": "do not hold zero"}, what="zero by zero"),
    Case("Pow", flat("z = Pow(h, two)", "float two = {2}"), "A[1]", what="square"),
    Case(
        "Pow", flat("p = Exp(h) z = Pow(p, gain)", "float[8] gain"), "A[1]", what="exponent for each channel"
    ),
    Case("Pow", flat("z = Pow(two, h)", "float two = {2}"), "A[1]", what="a power of two"),
    Case(
        "Pow",
        flat("z = Pow(h, p)", "float[8] p"),
        "A[1]",
        given={"p": [1, 0, 2, 3, 0, 1, 2, 2]},
        what="exponents that are not negative",
    ),
    Case(
        "Pow",
        flat("p = Abs(h) z = Pow(p, q)", "float[8] q"),
        given={"q": [1, -1, 2, 3, 0, 1, 2, 2]},
        approximate={"A[1]": "do not hold zero"},
        what="a negative exponent",
    ),
    Case(
        "Pow",
        _two("p = Abs(h) r = Clip(g, zero) z = Pow(p, r)", "float zero = {0}"),
        "A[1]",
        what="a computed exponent that is not negative",
    ),
    Case(
        "Pow",
        flat(
            "u = Abs(h) r = ReduceSum <keepdims = 1> (x, last) p = Pow(u, r) z = Mul(p, half)",
            "int64[1] last = {-1}, float half = {0.5}",
        ),
        approximate={"A[1]": "do not hold zero"},
        what="a computed exponent",
    ),
    Case(
        "Pow",
        flat(
            "r0 = ReduceSum <keepdims = 1> (x, last) r = Sigmoid(r0) u = Abs(h) z = Pow(u, r)",
            "int64[1] last = {-1}",
        ),
        "A[1]",
        what="a share as exponent",
    ),
    Case("Mod", flat("z = Mod <fmod = 1> (h, gain)", "float[8] gain"), "A[1]", what="a weight as divisor"),
    Case(
        "Mod",
        flat(
            f"s = Mul(h, ten) p = Cast <to = 6> (s) r = Mod(p, seven) {_TO_FLOATS}",
            "float ten = {10}, int32 seven = {7}",
        ),
        "A[1]",
        what="whole numbers",
    ),
    Case(
        "Where",
        _two("c = Greater(h, g) z = Where(c, h, v)", "float[8] v"),
        "A[1]",
        what="chosen by comparison",
    ),
    Case(
        "Where",
        flat("c = Greater(x0, zero) z = Where(c, h, v)", "float zero = {0}, float[1] x0, float[8] v"),
        "A[1]",
        what="one condition for all",
    ),
    # quantisation
    Case(
        "DynamicQuantizeLinear",
        flat(
            "q, s, o = DynamicQuantizeLinear(h) i = MatMulInteger(q, W, o) f = Cast <to = 1> (i) z = Mul(f, s)",
            "int8[8, 6] W",
            z=6,
        ),
        "A[1] W[1]",
    ),
    Case(
        "DynamicQuantizeLinear",
        flat("e = Exp(h) q, s, o = DynamicQuantizeLinear(e) z = DequantizeLinear(q, s, o)"),
        approximate={"A[1]": "do not hold zero"},
        what="slots that do not hold zero",
    ),
    Case(
        "QuantizeLinear",
        flat("q = QuantizeLinear(h, s, o) z = DequantizeLinear(q, s, o)", "float s = {0.02}, int8 o = {0}"),
        "A[1]",
        what="one scale",
    ),
    Case(
        "QuantizeLinear",
        flat(
            "q = QuantizeLinear <axis = 1> (h, gain, o) r = DequantizeLinear <axis = 1> (q, gain, o) z = Add(r, v)",
            "float[8] gain, int8[8] o, float[8] v",
        ),
        "A[1]",
        what="a scale for each channel",
        given={"gain": [0.02] * 4 + [0.03] * 4, "o": [0] * 8},
    ),
    Case(
        "DequantizeLinear",
        image(
            "w = DequantizeLinear <axis = 0> (Q, gain, o) z = Conv(h, w, b)",
            "int8[6, 8, 1, 1] Q, float[6] gain, int8[6] o, float[6] b",
            z=6,
        ),
        "A[0] Q[0]",
        what="a weight, scale for each output",
        given={"gain": [0.01] * 6, "o": [0] * 6},
    ),
    Case(
        "DequantizeLinear",
        flat(
            "w = DequantizeLinear <axis = 1> (Q, gain) z = MatMul(h, w)", "int8[8, 6] Q, float[6] gain", z=6
        ),
        "A[1] Q[1]",
        what="no zero point",
        given={"gain": [0.01] * 6},
    ),
    Case(
        "DequantizeLinear",
        flat(
            "w = DequantizeLinear <axis = 0, block_size = 4> (Q, gain) z = MatMul(h, w)",
            "int8[8, 6] Q, float[2, 6] gain",
            z=6,
        ),
        "A[1] Q[1]",
        frozen={"A[1].2": "only whole blocks can go"},
        what="blocks",
        opset=21,
        given={"gain": [0.01] * 6 + [0.02] * 6},
    ),
    Case(
        "DequantizeLinear",
        flat(
            "w = DequantizeLinear <axis = 1, block_size = 4> (Q, gain, o) t = Transpose <perm = [1, 0]> (w) z = MatMul(h, t)",
            "int4[6, 16] Q, float[6, 4] gain, int4[6, 4] o",
            h=16,
            z=6,
        ),
        "A[1] Q[0]",
        frozen={"A[1].2": "only whole blocks can go"},
        what="blocks of four bits, turned round",
        opset=21,
        given={"Q": (np.arange(96) * 5 % 15 - 7), "gain": np.linspace(0.1, 0.3, 24), "o": np.arange(24) % 4},
    ),
    Case(
        "DequantizeLinear",
        flat(
            "w = DequantizeLinear <axis = 0, block_size = 6> (Q, gain) z = MatMul(h, w)",
            "int8[8, 6] Q, float[2, 6] gain",
            z=6,
        ),
        "Q[1]",
        frozen={"A[1]": "only whole blocks can go", "A[1].2": "the last of them cut short"},
        what="one block and a piece",
        opset=21,
        given={"gain": [0.01] * 6 + [0.02] * 6},
    ),
    Case(
        "DequantizeLinear",
        flat(
            "w = DequantizeLinear <axis = 0, block_size = 6> (Q, gain, o) z = MatMul(h, w)",
            "int8[22, 6] Q, float[4, 6] gain, int8[4, 6] o",
            h=22,
            z=6,
        ),
        "A[1] Q[1]",
        frozen={"A[1].2": "only whole blocks can go", "A[1].3": "the last of them cut short"},
        what="the last block is cut short",
        opset=21,
        given={"gain": np.linspace(0.01, 0.02, 24), "o": np.arange(24) * 3},
    ),
    Case("BitCast", flat("i = BitCast <to = 6> (h) z = BitCast <to = 1> (i)"), "A[1]", opset=26),
    Case("SwiGLU", flat("g = MatMul(x, G) z = SwiGLU(h, g)", "float[4, 8] G"), "A[1]", opset=28, runs=False),
)
