"""States that a loop never changes are read from outside, and filled tensors belong to one reader."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.session import open_session
from graphprune.testing import prune_at_random

LOOP = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[n, 6] x) => (float[n, 3] y) <int64 turns = {4}, bool go = {1}> {
  w1, h1 = Loop (turns, go, W, x) <body = g (int64 i, bool c, float[6, 6] w, float[n, 6] h)
      => (bool d, float[6, 6] v, float[n, 6] k) { d = Identity(c) v = Identity(w) m = MatMul(h, w) k = Tanh(m) }>
  a = MatMul(h1, w1)  r = Relu(a)  u = MatMul(r, A)  s = Relu(u)  y = MatMul(s, B)
}"""
SCAN = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[5, 6] x) => (float[5, 3] y) <float[1, 6] zero = {0, 0, 0, 0, 0, 0}> {
  w1, h1, rows = Scan (W, h0, x) <num_scan_inputs = 1, body = g (float[6, 6] w, float[1, 6] h, float[6] t)
      => (float[6, 6] v, float[1, 6] k, float[6] o) { v = Identity(w) m = MatMul(h, w) p = Add(m, t) k = Tanh(p) o = Squeeze(k) }>
  u = MatMul(rows, A)  s = Relu(u)  y = MatMul(s, B)  h0 = Identity(zero)
}"""

# Without the Identity, ONNX Runtime 1.32 computes the second turn of this Scan wrongly.


def model(text: str) -> onnx.ModelProto:
    parsed = onnx.parser.parse_model(text)
    parsed.graph.node.sort(key=lambda node: node.output[0] != "h0")
    draw = np.random.default_rng(0)
    for name, shape in (("W", (6, 6)), ("A", (6, 8)), ("B", (8, 3))):
        values = draw.normal(size=shape).astype(np.float32)
        parsed.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return parsed


def node(normal: ir.Model, op: str) -> ir.Node:
    return next(n for n in normal.graph if n.op_type == op)


@pytest.mark.parametrize(("text", "op", "states"), [(LOOP, "Loop", 3), (SCAN, "Scan", 2)])
def test_an_unchanged_state_is_captured(text: str, op: str, states: int) -> None:
    source = load(model(text)).model
    normal = normalise(source)
    loop = node(normal, op)
    assert len(loop.inputs) == states, "the weight is no state any more"
    body = loop.attributes["body"].as_graph()
    assert normal.graph.initializers["W"] in {v for n in body for v in n.inputs}
    x = {"x": np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)}
    with open_session(source) as before, open_session(normal) as after:
        np.testing.assert_allclose(after.run(x)["y"], before.run(x)["y"], rtol=1e-5)
    outcome = prune_at_random(model(text))
    assert outcome.equivalence.status == "equal"
    assert outcome.size("A", 1) == 4


def test_a_state_that_changes_stays() -> None:
    changing = LOOP.replace("v = Identity(w)", "v = Tanh(w)")
    assert len(node(normalise(load(model(changing)).model), "Loop").inputs) == 4


def test_a_state_that_is_an_output_stays() -> None:
    shown = LOOP.replace("(float[n, 3] y)", "(float[n, 3] y, float[6, 6] w1)")
    normal = normalise(load(model(shown)).model)
    assert len(node(normal, "Loop").inputs) == 4
    assert [v.name for v in normal.graph.outputs] == ["y", "w1"]


def test_layers_that_share_an_empty_state_are_not_tied() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[t, n, 4] x) => (float[n, 3] y) <int64[1] one = {1}, int64[1] wide = {6}, int64[1] z = {0}> {
      b = Shape <start = 1, end = 2> (x)  s = Concat <axis = 0> (one, b, wide)  h = ConstantOfShape(s)
      q1, f1, c1 = LSTM <hidden_size = 6> (x, W1, R1, , , h, h)  p = Squeeze(q1, one)
      q2, f2, c2 = LSTM <hidden_size = 6> (p, W2, R2, , , h, h)  e = Squeeze(f2, z)  y = MatMul(e, B)
    }"""
    parsed = onnx.parser.parse_model(text)
    draw = np.random.default_rng(0)
    shapes = {"W1": (1, 24, 4), "R1": (1, 24, 6), "W2": (1, 24, 6), "R2": (1, 24, 6), "B": (6, 3)}
    for name, shape in shapes.items():
        values = draw.normal(0, 0.5, size=shape).astype(np.float32)
        parsed.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    outcome = prune_at_random(parsed)
    hidden = [g for g in outcome.analysis.groups if g.kind == "hidden"]
    assert [g.size for g in hidden] == [6, 6]
    assert outcome.equivalence.status == "equal"
    assert (outcome.size("R1", 2), outcome.size("B", 0)) == (3, 3)
