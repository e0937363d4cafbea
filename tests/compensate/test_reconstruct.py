"""Reconstruction: what a linear refit cannot make up for, operators that move together can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import graphprune
from graphprune.analysis.facts import read_graph
from graphprune.compensate import reconstruct
from graphprune.compensate.segments import Segment, find_segments
from graphprune.load import load
from graphprune.normalise import normalise

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
Weights = dict[str, tuple[int, ...]]
MLP = (
    "g (float[n, 12] x) => (float[n, 12] y) { a = MatMul(x, w1) b = Add(a, b1) h = Tanh(b) c = MatMul(h, w2) "
    "y = Add(x, c) }",
    {"w1": (12, 32), "b1": (32,), "w2": (32, 12)},
)
CHAIN = (
    "g (float[n, 8] x) => (float[n, 6] y) { a = Gemm(x, w1) h = Relu(a) b = Gemm(h, w2) i = Relu(b) "
    "y = Gemm(i, w3) }",
    {"w1": (8, 24), "w2": (24, 24), "w3": (24, 6)},
)
ATTENTION = (
    """g (float[n, t, 16] x) => (float[n, t, 16] y) {
 q0 = MatMul(x, wq) k0 = MatMul(x, wk) v0 = MatMul(x, wv)
 shape = Constant<value_ints=[0, 0, 4, 8]>()
 q1 = Reshape(q0, shape) k1 = Reshape(k0, shape) v1 = Reshape(v0, shape)
 q = Transpose<perm=[0,2,1,3]>(q1) k = Transpose<perm=[0,2,3,1]>(k1) v = Transpose<perm=[0,2,1,3]>(v1)
 s = MatMul(q, k) p = Softmax(s) z = MatMul(p, v)
 u = Transpose<perm=[0,2,1,3]>(z) flat = Constant<value_ints=[0, 0, 32]>() w = Reshape(u, flat)
 o = MatMul(w, wo) y = Add(x, o) }""",
    {"wq": (16, 32), "wk": (16, 32), "wv": (16, 32), "wo": (32, 16)},
)
LSTM = (
    "g (float[t, n, 6] x) => (float[t, n, 4] y) { s, h, c = LSTM<hidden_size=16>(x, w, r, b) "
    "one = Constant<value_ints=[1]>() f = Squeeze(s, one) y = MatMul(f, v) }",
    {"w": (1, 64, 6), "r": (1, 64, 16), "b": (1, 128), "v": (16, 4)},
)
CONV = (
    "g (float[n, 3, 9, 9] x) => (float[n, 4, 5, 5] y) { a = Conv<pads=[1,1,1,1]>(x, k1, b1) h = Relu(a) "
    "y = Conv<pads=[1,1,1,1], strides=[2,2]>(h, k2) }",
    {"k1": (16, 3, 3, 3), "b1": (16,), "k2": (4, 16, 3, 3)},
)
INPUTS = {"MLP": (8, 12), "CHAIN": (8, 8), "ATTENTION": (4, 5, 16), "CONV": (4, 3, 9, 9)}
FORMS = {"MLP": MLP, "CHAIN": CHAIN, "ATTENTION": ATTENTION, "LSTM": LSTM, "CONV": CONV}


def model_of(text: str, weights: Weights) -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    for name, shape in weights.items():
        values = draw.standard_normal(shape) / np.sqrt(shape[1] if name == "w" else shape[0])
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return model


def inputs_of(form: str, count: int = 48) -> list[dict[str, np.ndarray]]:
    draw = np.random.default_rng(1)
    shape = INPUTS.get(form, (7, 4, 6))
    return [{"x": draw.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def run(model: onnx.ModelProto, feeds: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run(None, f)[0].ravel() for f in feeds])


def segments_of(text: str, weights: Weights) -> tuple[Segment, ...]:
    return find_segments(read_graph(normalise(load(model_of(text, weights)).model)))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_loses_less_than_a_refit(form: str) -> None:
    model = model_of(*FORMS[form])
    calib, fresh = inputs_of(form, 160), inputs_of(form, 176)[160:]
    expected = run(model, fresh)
    lost = {}
    for name in ("refit", "refit-blocks"):
        result = graphprune.prune(model, 0.5, recipe="auto", compensation=name, calib=calib)
        assert result.report["equivalence"]["status"] == "equal"
        lost[name] = float(np.square(run(result.model, fresh) - expected).mean())
    assert lost["refit-blocks"] < 0.95 * lost["refit"]


def test_same_bytes_every_time() -> None:
    model, calib = model_of(*MLP), inputs_of("MLP")
    made = [graphprune.prune(model, 0.5, calib=calib, seed=3).model.SerializeToString() for _ in range(2)]
    assert made[0] == made[1]


def test_segments_of_attention() -> None:
    (found,) = segments_of(*ATTENTION)
    assert sorted(found.weights) == ["wk", "wo", "wq", "wv"]
    assert set(found.inputs) == {"x"}
    assert (found.result, found.beside) == ("o", "x")


def test_segments_of_a_chain_share_their_ends() -> None:
    assert [s.weights for s in segments_of(*CHAIN)] == [("w1", "w2"), ("w2", "w3")]


def test_what_others_read_stays() -> None:
    """The result of the first product is read twice, so it is no inner matter of any segment."""
    text = "g (float[n, 4] x) => (float[n, 4] y) { a = MatMul(x, w1) h = Relu(a) b = MatMul(h, w2) y = Add(a, b) }"
    assert segments_of(text, {"w1": (4, 4), "w2": (4, 4)}) == ()


def test_shared_weights_stay() -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) { a = MatMul(x, w) h = Relu(a) y = MatMul(h, w) }"
    assert segments_of(text, {"w": (4, 4)}) == ()


def test_operators_without_a_gradient_end_a_segment() -> None:
    text = "g (float[n, 4] x) => (float[n, 4] y) { a = MatMul(x, w1) h = Round(a) y = MatMul(h, w2) }"
    assert segments_of(text, {"w1": (4, 6), "w2": (6, 4)}) == ()


def test_too_few_inputs_are_left_to_the_refit() -> None:
    model, calib = model_of(*MLP), inputs_of("MLP")[:2]
    made = [
        graphprune.prune(model, 0.5, recipe="auto", compensation=c, calib=calib).model
        for c in ("refit", "refit-blocks")
    ]
    weights = [{i.name: onnx.numpy_helper.to_array(i) for i in m.graph.initializer} for m in made]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], array)


def test_what_does_not_fit_in_memory_is_seen_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many large batches some are taken, evenly spread, and the fit is still one."""
    seen: list[int] = []
    real = reconstruct.descend

    def watched(descent: Any, start: Any, learn: Any, judge: Any, *rest: Any) -> Any:
        seen.append(len(learn) + len(judge))
        return real(descent, start, learn, judge, *rest)

    monkeypatch.setattr(reconstruct, "descend", watched)
    monkeypatch.setattr(reconstruct, "HELD", 1)
    draw = np.random.default_rng(3)
    batches = [{"x": draw.standard_normal((8, 12)).astype(np.float32)} for _ in range(70)]
    result = graphprune.prune(model_of(*MLP), 0.5, recipe="auto", calib=batches)
    assert result.report["equivalence"]["status"] == "equal"
    assert seen
    assert max(seen) <= 10
