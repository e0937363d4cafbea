"""Trials give what the whole network gives with the same weights, from wherever they start."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.analysis import Analysis
from graphprune.compensate.trial import Trials, with_weights
from graphprune.runtime.session import open_session
from graphprune.statistics.parts import Parts
from graphprune.testing import analysed
from tests.rules.building import build

DRAW = np.random.default_rng(0)
# A weight in two places, one behind a Transpose that comes first; an output that is read further on.
NET = """n (float[n, 6] x) => (float[n, 6] y, float[n, 6] early, float[n, 6] x2)
<float[6, 6] A, float[6, 6] B, float[6, 6] C, float[6, 6] D> {
  turned = Transpose(D)
  a = MatMul(x, A)
  early = Relu(a)
  b = MatMul(early, B)
  c = Tanh(b)
  d = MatMul(c, C)
  e = Sigmoid(d)
  f = MatMul(e, turned)
  g = Tanh(f)
  h = MatMul(g, B)
  i = Add(h, early)
  j = Relu(i)
  y = Add(j, x)
  x2 = Identity(x) }"""


def net() -> tuple[ir.Model, Analysis]:
    model, analysis = analysed(build(NET))
    for value in model.graph.initializers.values():
        value.const_value = ir.tensor(DRAW.normal(size=(6, 6)).astype(np.float32), name=value.name)
    return model, analysis


BATCHES = [{"x": DRAW.normal(size=(n, 6)).astype(np.float32)} for n in (3, 5)]


@pytest.mark.parametrize("order", [("A", "B", "C", "D"), ("D", "C", "B", "A")])
def test_a_trial_is_the_network_with_other_weights(order: tuple[str, ...]) -> None:
    model, analysis = net()
    trials = Trials(model, analysis, BATCHES)
    for name in order:
        weights = {name: DRAW.normal(size=(6, 6)).astype(np.float32)}
        with open_session(with_weights(model, weights)) as session:
            for found, feeds in zip(trials.after(weights), BATCHES, strict=True):
                expected = session.run(feeds)
                assert found.keys() == expected.keys()
                for output, array in expected.items():
                    np.testing.assert_allclose(found[output], array, rtol=1e-4, atol=1e-5)
        assert trials.loss(weights) > 0.01
    trials.close()


def test_the_same_weights_lose_nothing() -> None:
    model, analysis = net()
    trials = Trials(model, analysis, BATCHES)
    same = model.graph.initializers["C"].const_value
    assert same is not None
    assert trials.loss({"C": same.numpy()}) < 1e-10
    trials.close()


def test_parts_start_where_a_weight_is_read_first() -> None:
    """A Transpose of a weight belongs to the part that reads it, however early it stands."""
    model, analysis = net()
    with Parts(model, analysis) as parts:
        assert parts.count > 2
        assert parts.readers(["A"]) == (0, 0)
        first, last = parts.readers(["D"])
        assert 0 < first == last
        assert parts.readers(["B"])[1] > parts.readers(["B"])[0]


def test_what_is_wanted_is_given_and_the_rest_forgotten() -> None:
    model, analysis = net()
    seen: dict[str, np.ndarray] = {}
    with Parts(model, analysis, ["c", "g"]) as parts:
        state = BATCHES[0]
        for k in range(parts.count):
            state, given = parts.run(k, state)
            assert "a" not in given
            seen |= given
        assert not state
    assert {"c", "g", "y", "early"} <= seen.keys()


@pytest.mark.parametrize("squash", ["Softmax <axis = -1> (far)", "Sigmoid(far)"])
def test_a_loss_behind_saturated_outputs_is_seen(squash: str) -> None:
    """Probabilities of nought and one hardly move; what they are computed from does."""
    text = f"""n (float[n, 6] x) => (float[n, 6] y) <float[6, 6] A, float[1] far_off> {{
      a = MatMul(x, A)
      far = Mul(a, far_off)
      p = {squash}
      y = Identity(p) }}"""
    model, analysis = analysed(build(text))
    matrix = np.where(np.arange(6) % 2, 1, -1).astype(np.float32) * np.ones((6, 1), np.float32)
    for name, array in {"A": matrix, "far_off": np.full(1, 30, np.float32)}.items():
        model.graph.initializers[name].const_value = ir.tensor(array, name=name)
    batches = [{"x": np.abs(b["x"]) + 1} for b in BATCHES]
    trials = Trials(model, analysis, batches)
    assert "far" in trials.before[0]
    changed = {"A": matrix * (1 + 0.2 * DRAW.random((6, 6))).astype(np.float32)}
    (name,) = analysis.facts.outputs
    for after, before in zip(trials.after(changed), trials.before, strict=True):
        if "Sigmoid" in squash:
            np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    assert trials.loss(changed) > 1e-3
    trials.close()


def test_a_constant_added_before_a_softmax_is_no_loss() -> None:
    text = """n (float[n, 6] x) => (float[n, 6] y) <float[6, 6] A, float[6] B> {
      a = MatMul(x, A)
      b = Add(a, B)
      y = Softmax <axis = -1> (b) }"""
    model, analysis = analysed(build(text))
    trials = Trials(model, analysis, BATCHES)
    bias = model.graph.initializers["B"].const_value
    assert bias is not None
    assert trials.loss({"B": bias.numpy() + 3}) < 1e-8
    assert trials.loss({"B": bias.numpy() + np.arange(6, dtype=np.float32)}) > 1e-3
    trials.close()


def test_no_part_begins_between_what_makes_a_sequence_and_what_reads_it() -> None:
    steps = "\n".join(f"  s{k} = Tanh(s{k - 1})" for k in range(1, 12))
    text = f"""n (float[n, 6] x) => (float[n, 6] y) <float[6, 6] A> {{
  s0 = MatMul(x, A)
{steps}
  pieces = SplitToSequence <axis = 1> (s11)
  t0 = Relu(s11)
  t1 = Tanh(t0)
  t2 = Tanh(t1)
  t3 = Tanh(t2)
  joined = ConcatFromSequence <axis = 1> (pieces)
  u0 = Add(t3, joined)
  u1 = Tanh(u0)
  u2 = Tanh(u1)
  u3 = Tanh(u2)
  y = Tanh(u3) }}"""
    model, analysis = analysed(build(text))
    state: dict[str, np.ndarray] = BATCHES[0]
    with Parts(model, analysis) as parts:
        assert parts.count > 2
        for k in range(parts.count):
            state, given = parts.run(k, state)
            assert "pieces" not in state
    assert given["y"].shape == (3, 6)
