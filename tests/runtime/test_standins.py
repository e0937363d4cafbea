"""With stand-ins for its weights a model has the same shapes as with its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime import standins
from graphprune.runtime.record import record
from tests.rules.building import build, flat, tokens

MODELS = Path(__file__).resolve().parents[2] / "models"
BUNDLED = sorted(entry["file"] for entry in json.loads((MODELS / "models.json").read_text()).values())
CASES = {
    "gemm": flat("z = Gemm <transB = 1> (h, W)", "float[20, 20] W", h=20),
    "tied": tokens(
        "u = Transpose <perm = [1, 0]> (W) m = MatMul(h, W) z = MatMul(m, u)", "float[20, 20] W", h=20
    ),
}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of more than a kilobyte get stand-ins in every model."""
    monkeypatch.setattr(standins, "_MODEL_BYTES", 0)
    monkeypatch.setattr(standins, "_WEIGHT_BYTES", 1024)


def assert_same(model: ir.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with standins.with_stand_ins(model) as twin:
        assert twin is not model, "the test is about stand-ins"
    thin = record(model)
    monkeypatch.undo()
    real = record(model)
    assert (thin.method, thin.note, dict(thin.sizes)) == (real.method, real.note, dict(real.sizes))
    assert {n: thin.shapes.get(n) for n in real.shapes} == dict(real.shapes)
    assert {n: thin.second.get(n) for n in real.second} == dict(real.second)
    assert thin.shape_only >= real.shape_only
    for name, value in real.values.items():
        if name in real.shape_only:
            np.testing.assert_array_equal(thin.values[name], value)


@pytest.mark.parametrize("file", BUNDLED)
@pytest.mark.usefixtures("always")
def test_bundled_models(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(normalise(load(MODELS / file).model), monkeypatch)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("always")
def test_products(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(normalise(load(build(CASES[case])).model), monkeypatch)


@pytest.mark.usefixtures("always")
def test_weights_read_by_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[n, 8] x, bool c) => (float[n, 24] y) {
      h = MatMul(x, W)
      y = If (c) <then_branch = g1 () => (float[n, 24] a) { a = MatMul(h, V) },
                  else_branch = g2 () => (float[n, 24] b) { r = Relu(h) b = MatMul(r, V) }>
    }"""
    model = onnx.parser.parse_model(text)
    draw = np.random.default_rng(0)
    for name, shape in (("W", (8, 40)), ("V", (40, 24))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name)
        )
    assert_same(normalise(load(model).model), monkeypatch)


@pytest.mark.usefixtures("always")
def test_a_model_that_needs_its_own_weights_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of the numbers are positive, and a later shape relies on it."""
    positive = np.where(np.arange(400) < 5, 1, -1).astype(np.float32)
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[n, 5] x) => (float[n, 5] y) <float zero = {0.0}> {
      g = Add(w, x0)  p = Greater(g, zero)  i = NonZero(p)  q = Gather(w, i)  f = Squeeze(q)  y = Add(x, f)
      x0 = Mul(s, zero)  s = ReduceSum <keepdims = 0> (x)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.node.sort(key=lambda n: ["s", "x0", "g", "p", "i", "q", "f", "y"].index(n.output[0]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(positive, "w"))
    recording = record(normalise(load(model).model))
    assert recording.method == "run", recording.note
    assert recording.shapes["f"] == (5,)
