"""What a removed slot holds: where a function maps zero to something else, summing over it is not exact.

The masked original is the oracle, so an operator that is wrongly said to keep zero fails here.
"""

from __future__ import annotations

import pytest

from graphprune.rules import RULES
from graphprune.testing import Outcome, prune_at_random
from tests.rules.building import build, flat

_BOOL = "r = Cast <to = 1> (q)"
_SINCE = {"BitCast": 26, "Gelu": 20, "Swish": 24}
KEEP = (
    "Abs Asin Asinh Atan Atanh Ceil Celu Dropout Elu Erf Floor Gelu HardSwish Identity LeakyRelu Mish Neg Relu Round "
    "Selu Shrink Sign Sin Sinh Softsign Swish Tan Tanh ThresholdedRelu"
).split()
LIFT = "Acos Cos Cosh Exp HardSigmoid Sigmoid Softplus".split()
SPELLED_KEEP = {
    "Cast": "q = Cast <to = 6> (h) r = Cast <to = 1> (q)",
    "BitCast": "q = BitCast <to = 6> (h) r = BitCast <to = 1> (q)",
    "com.microsoft.Gelu": "r = com.microsoft.Gelu(h)",
    "com.microsoft.QuickGelu": "r = com.microsoft.QuickGelu(h)",
    "com.microsoft.BiasGelu": "r = com.microsoft.BiasGelu(h, slope)",
    "com.microsoft.ScaledSiLU": "r = com.microsoft.ScaledSiLU <alpha = 2.0> (h)",
    "com.microsoft.QLinearAdd": "p = QuantizeLinear(h, step, o) w = QuantizeLinear(g, step, o) "
    "q = com.microsoft.QLinearAdd(p, step, o, w, step, o, step, o) r = DequantizeLinear(q, step, o)",
    "com.microsoft.QLinearMul": "e = Exp(g) p = QuantizeLinear(h, step, o) w = QuantizeLinear(e, step, o) "
    "q = com.microsoft.QLinearMul(p, step, o, w, step, o, step, o) r = DequantizeLinear(q, step, o)",
    "com.microsoft.QLinearLeakyRelu": "p = QuantizeLinear(h, step, o) "
    "q = com.microsoft.QLinearLeakyRelu(p, step, o, step, o) r = DequantizeLinear(q, step, o)",
    "com.microsoft.QLinearWhere": "c = Greater(h, low) p = QuantizeLinear(h, step, o) "
    "q = com.microsoft.QLinearWhere(c, p, step, o, p, step, o, step, o) r = DequantizeLinear(q, step, o)",
    "Clip": "r = Clip(h, low, high)",
    "PRelu": "r = PRelu(h, slope)",
    "Pow": "r = Pow(h, two)",
    "Sqrt": "a0 = Abs(h) r = Sqrt(a0)",
    "Div": "e = Exp(g) r = Div(h, e)",
    "Mod": "r = Mod <fmod = 1> (h, gain)",
    "Mul": "e = Exp(g) r = Mul(h, e)",
    "Max": "r = Max(h, g)",
    "And": "p = Greater(h, low) w = Cast <to = 9> (h) q = And(p, w) r = Cast <to = 1> (q)",
    "BitwiseAnd": "p = Cast <to = 6> (h) e = Exp(g) w = Cast <to = 6> (e) q = BitwiseAnd(p, w) r = Cast <to = 1> (q)",
    "Where": "p = Greater(h, low) r = Where(p, h, g)",
    "InstanceNormalization": "u = Unsqueeze(h, last) w = Unsqueeze(g, last) v = Concat <axis = 2> (u, w) "
    "n = InstanceNormalization(v, gain, slope) r = ReduceSum <keepdims = 0> (n, last)",
    "CumSum": "u = Unsqueeze(h, last) v = CumSum(u, axis) r = Squeeze(v, last)",
    "Pad": "u = Unsqueeze(h, last) v = Pad(u, pads) r = ReduceSum <keepdims = 0> (v, last)",
    "QuantizeLinear": "q = QuantizeLinear(h, step, o) r = DequantizeLinear(q, step, o)",
}
SPELLED_LIFT = {
    "com.microsoft.QLinearSigmoid": "p = QuantizeLinear(h, step, o) "
    "q = com.microsoft.QLinearSigmoid(p, step, o, step, o) r = DequantizeLinear(q, step, o)",
    "Clip": "r = Clip(h, tenth, high)",
    "Not": f"p = Greater(h, low) q = Not(p) {_BOOL}",
    "BitwiseNot": f"p = Cast <to = 6> (h) q = BitwiseNot(p) {_BOOL}",
    "Equal": f"q = Equal(h, g) {_BOOL}",
    "LessOrEqual": f"q = LessOrEqual(h, low) {_BOOL}",
    "GreaterOrEqual": f"q = GreaterOrEqual(h, low) {_BOOL}",
    "Xor": f"p = Greater(h, low) w = GreaterOrEqual(g, low) q = Xor(p, w) {_BOOL}",
    "IsInf": f"p = Log(h) q = IsInf(p) {_BOOL}",
    "Reciprocal": "p = Exp(h) r = Reciprocal(p)",
    "Log": "p = Exp(h) r = Log(p)",
    "Add": "r = Add(h, tenth)",
    "Max": "r = Max(h, tenth)",
    "Where": "p = GreaterOrEqual(h, low) r = Where(p, tenth, h)",
    "Pad": "u = Unsqueeze(h, last) v = Pad(u, pads, tenth) r = ReduceSum <keepdims = 0> (v, last)",
    "ConstantOfShape": "s = Shape(h) c = ConstantOfShape <value = float[1] {0.5}> (s) r = Add(h, c)",
    "Expand": "s = Shape(h) c = Expand(tenth, s) r = Add(h, c)",
}
_WEIGHTS = (
    "float[4, 8] G, float low = {0}, float high = {6}, float tenth = {0.1}, float two = {2}, float[8] slope, "
    "float[8] gain, int64[1] one = {1}, int64[1] last = {2}, int64 axis = {2}, int64[6] pads = {0, 0, 1, 0, 0, 1}, "
    "float step = {0.02}, int8 o = {3}"
)


def summed(body: str, opset: int) -> Outcome:
    """All slots of r are summed, and nothing that is masked stands behind them."""
    text = flat(f"g = MatMul(x, G) {body} total = ReduceSum(r, one) z = Tanh(total)", _WEIGHTS, z=1)
    return prune_at_random(build(text, opset=opset))


_KEEPING = (
    {op: f"r = {op}(h)" for op in KEEP}
    | {
        "Asin": "t = Tanh(h) r = Asin(t)",
        "Atanh": "t = Tanh(h) u = Mul(t, tenth) r = Atanh(u)",
    }
    | SPELLED_KEEP
)
_LIFTING = {op: f"r = {op}(h)" for op in LIFT} | {"Acos": "t = Tanh(h) r = Acos(t)"} | SPELLED_LIFT


@pytest.mark.parametrize("op", _KEEPING)
def test_zero_stays_zero(op: str) -> None:
    outcome = summed(_KEEPING[op], _SINCE.get(op, 18))
    assert not outcome.analysis.by_key["A[1]"].approximate
    assert outcome.size("A", 1) == 4
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-3


@pytest.mark.parametrize("op", _LIFTING)
def test_zero_becomes_something_else(op: str) -> None:
    outcome = summed(_LIFTING[op], 18)
    assert "do not hold zero" in outcome.analysis.by_key["A[1]"].approximate
    assert outcome.size("A", 1) == 8


def test_every_simple_function_is_looked_at() -> None:
    simple = {
        op for (domain, op), r in RULES.items() if not domain and getattr(r.relate, "__name__", "") == "unary"
    }
    assert not simple - _KEEPING.keys() - _LIFTING.keys() - {"Acosh", "CastLike", "IsNaN"}
