"""Element types, storage and structure of the file: half precision, quantised, external, functions, bodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from graphprune.testing import prune_at_random
from tests.hard_cases.oracle import assert_exact, cut_keys
from tests.rules.building import build

_CONVS = """net (TYPE[n, 3, 6, 6] x) => (TYPE[N, V] y)
    <TYPE[8, 3, 3, 3] A, TYPE[8] gain, TYPE[8] b, TYPE[8] m, TYPE[8] var, TYPE[12, 8, 3, 3] C, TYPE[12, 5] H>
    { h = Conv(x, A)  n0 = BatchNormalization(h, gain, b, m, var)  r = Relu(n0)  c = Conv(r, C)  s = Relu(c)
      p = GlobalAveragePool(s)  q = Flatten(p)  y = MatMul(q, H) }"""
_MLP = """net (TYPE[n, 4] x) => (TYPE[N, V] y) <TYPE[4, 8] A, TYPE[8] a, TYPE[8, 6] C, TYPE[6, 3] B>
    { h = MatMul(x, A)  i = Add(h, a)  r = Relu(i)  c = MatMul(r, C)  s = Sigmoid(c)  y = MatMul(s, B) }"""
# As ONNX Runtime's quantiser writes it: everything between DequantizeLinear and QuantizeLinear.
_QDQ = """net (float[n, 3, 6, 6] x) => (float[N, C, H, W] y)
    <int8[8, 3, 3, 3] A, int32[8] a, {kind}[6, 8, 3, 3] C, int32[6] c, int8[5, 6, 1, 1] B,
     float s = {{0.01}}, float t = {{0.0003}}, {scale}, int8 zero = {{0}}, int8 z = {{3}}, int32 k = {{0}}>
    {{ qx = QuantizeLinear(x, s, z)  dx = DequantizeLinear(qx, s, z)
       wA = DequantizeLinear(A, s, zero)  wa = DequantizeLinear(a, t, k)
       h0 = Conv(dx, wA, wa)  h1 = Relu(h0)  qh = QuantizeLinear(h1, s, z)  h = DequantizeLinear(qh, s, z)
       wC = DequantizeLinear <axis = 0> (C, u, o)  wc = DequantizeLinear(c, t, k)
       g0 = Conv(h, wC, wc)  g1 = Relu(g0)  qg = QuantizeLinear(g1, s, z)  g = DequantizeLinear(qg, s, z)
       wB = DequantizeLinear(B, s, zero)  y = Conv(g, wB) }}"""


@pytest.mark.parametrize(
    ("text", "kind", "tolerance"),
    [(_CONVS, "float", 1e-4), (_CONVS, "float16", 2e-2), (_MLP, "double", 1e-8)],
    ids=["float", "float16", "double"],
)
def test_element_types(text: str, kind: str, tolerance: float) -> None:
    model = build(text.replace("TYPE", kind))
    outcome = prune_at_random(model)
    assert len(outcome.decision.keeps) == 2
    assert_exact(outcome)
    assert outcome.equivalence.tolerance == tolerance
    types = {v.dtype for v in outcome.pruned.graph.initializers.values()}
    assert types == {ir.DataType(model.graph.initializer[0].data_type)}


def test_bfloat16_weights_are_sliced_bit_by_bit() -> None:
    model = build(_MLP.replace("TYPE", "float"))
    for tensor in model.graph.initializer:
        values = ir.Tensor(
            numpy_helper.to_array(tensor).astype(ir.DataType.BFLOAT16.numpy()), name=tensor.name
        )
        tensor.CopyFrom(ir.to_proto(values))
    for node, weight in ((0, "A"), (1, "a"), (3, "C"), (5, "B")):
        index = list(model.graph.node[node].input).index(weight)
        model.graph.node[node].input[index] = f"{weight}_f"
    casts = [onnx.helper.make_node("Cast", [w], [f"{w}_f"], to=onnx.TensorProto.FLOAT) for w in "AaCB"]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    outcome = prune_at_random(model)
    assert cut_keys(outcome) == {"A[1]", "C[1]"}
    assert_exact(outcome)


@pytest.mark.parametrize(
    ("kind", "scale", "values"),
    [
        ("int8", "float u = {0.01}, int8 o = {0}", {}),
        ("int8", "float[6] u, int8[6] o", {"u": [0.01, 0.02, 0.01, 0.03, 0.01, 0.01], "o": [0] * 6}),
        ("uint8", "float u = {0.01}, uint8 o = {50}", {}),
    ],
    ids=["one scale", "a scale for each channel", "a zero point"],
)
def test_quantised_graphs(kind: str, scale: str, values: dict[str, list[float]]) -> None:
    draw = np.random.default_rng(0)
    weights = {"A": draw.integers(-100, 100, (8, 3, 3, 3)), "B": draw.integers(-100, 100, (5, 6, 1, 1))}
    weights["C"] = (
        draw.integers(0, 100, (6, 8, 3, 3)) if kind == "uint8" else draw.integers(-100, 100, (6, 8, 3, 3))
    )
    outcome = prune_at_random(build(_QDQ.format(kind=kind, scale=scale), **weights, **values))
    assert cut_keys(outcome) == {"A[0]", "C[0]"}
    assert (outcome.size("A", 0), outcome.size("a", 0), outcome.size("C", 0), outcome.size("C", 1)) == (
        4,
        4,
        3,
        4,
    )
    assert_exact(outcome)


def test_external_data_is_read_when_needed_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(
        build(_MLP.replace("TYPE", "float")),
        path,
        save_as_external_data=True,
        location="net.bin",
        size_threshold=0,
    )
    outcome = prune_at_random(str(path))
    assert cut_keys(outcome) == {"A[1]", "C[1]"}
    assert_exact(outcome)


def test_local_functions_are_opened() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 8] C, float[8, 8] D, float[8, 3] B>
        { h = MatMul(x, A)  i = local.block(h, C)  j = local.block(i, D)  y = MatMul(j, B) }
        <opset_import: ["" : 18], domain: "local">
        block (a, w) => (b) { m = MatMul(a, w)  r = Relu(m)  b = Add(a, r) }"""
    outcome = prune_at_random(build(text))
    assert cut_keys(outcome) == {"A[1]"}
    assert (outcome.size("C", 0), outcome.size("C", 1), outcome.size("D", 1)) == (4, 4, 4)
    assert_exact(outcome)


def test_bodies_are_followed_or_say_why_not() -> None:
    text = """net (float[n, 4] x, bool flag) => (float[N, V] y) <float[4, 8] A, float[8, 6] C, float[6, 3] B>
        { h = MatMul(x, A)
          i = If (flag) <then_branch = one () => (float[n, 8] p) { p = Relu(h) }, else_branch = two () => (float[n, 8] q) { q = Neg(h) }>
          c = MatMul(i, C)  r = Relu(c)  y = MatMul(r, B) }"""
    outcome = prune_at_random(build(text))
    group = outcome.analysis.by_key["A[1]"]
    assert "C[1]" in cut_keys(outcome)
    assert "A[1]" in cut_keys(outcome) or "If" in group.frozen
    assert_exact(outcome)


def test_an_operator_of_another_domain_freezes_with_a_reason() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18, "ai.onnx.ml" : 3]>
        net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 6] C, float[6, 3] B>
        { h = MatMul(x, A)  g = ai.onnx.ml.Normalizer <norm = "L1"> (h)
          s = ReduceSum <keepdims = 0> (g)  i = Mul(h, s)  c = MatMul(i, C)  r = Relu(c)  y = MatMul(r, B) }"""
    outcome = prune_at_random(build(text))
    assert "choose by value" in outcome.analysis.by_key["A[1]"].frozen
    assert cut_keys(outcome) == {"C[1]"}
    onnx.checker.check_model(ir.to_proto(outcome.pruned))


@pytest.mark.parametrize("given", ["float u", "float u, uint8 o"], ids=["scale", "scale and zero point"])
def test_quantisation_parameters_computed_at_run_time(given: str) -> None:
    zero = "" if "o" in given.split() else ", uint8 o = {3}"
    text = f"""net (float[n, 4] x, {given}) => (float[N, V] y) <float[4, 8] A, uint8[8, 6] W, float[6, 3] B{zero}>
        {{ h = MatMul(x, A)  w = DequantizeLinear(W, u, o)  c = MatMul(h, w)  r = Relu(c)  y = MatMul(r, B) }}"""
    outcome = prune_at_random(build(text))
    assert "A[1]" in cut_keys(outcome)
    assert_exact(outcome)
