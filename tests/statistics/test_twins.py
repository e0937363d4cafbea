"""The twin of a network: channels as they were in training, on inputs that are not those of training."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.analysis import Analysis
from graphprune.analysis.prepare import prepare_normal
from graphprune.inputs import Wanted, prepare_inputs
from graphprune.normalise import normalise
from graphprune.runtime.session import open_session
from graphprune.statistics import make_twin, open_biases
from graphprune.statistics.linear import find_linear
from graphprune.statistics.twins import shrunk, standard

FOLDED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3, 12, 12] x) => (float[n, 5] y)
<float[8, 3, 3, 3] w1, float[8] b1, float[16, 8, 3, 3] w2, float[16] b2, float[16, 5] w3> {
 a = Conv<pads=[1,1,1,1]>(x, w1, b1)
 r = Relu(a)
 c = Conv<pads=[1,1,1,1]>(r, w2, b2)
 s = Relu(c)
 p = ReduceMean<axes=[2,3], keepdims=0>(s)
 y = MatMul(p, w3) }"""
NORMED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3, 12, 12] x) => (float[n, 4] y)
<float[3] scale, float[3] shift, float[3] mean, float[3] var, float[4, 3, 3, 3] w> {
 a = BatchNormalization(x, scale, shift, mean, var)
 r = Relu(a)
 c = Conv(r, w)
 y = ReduceMean<axes=[2,3], keepdims=0>(c) }"""
random = np.random.default_rng(0)


def ready(text: str, weights: dict[str, np.ndarray]) -> tuple[ir.Model, Analysis]:
    proto = onnx.parser.parse_model(text)
    del proto.graph.value_info[:]
    for name, values in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    model, analysis = prepare_normal(normalise(ir.from_proto(proto)), 0)
    opened, *_ = open_biases(model, analysis.recording, find_linear(analysis))
    return prepare_normal(opened, 0)


def seen(model: ir.Model, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    copy = model.clone()
    value = next(v for n in copy.graph for v in n.outputs if v.name == name)
    copy.graph.outputs.append(value)
    with open_session(copy) as session:
        found = session.run({"x": x}, [name])[name]
    return found.mean((0, 2, 3)), found.std((0, 2, 3))


def of_kind(kind: int, count: int = 32) -> np.ndarray:
    """Colours and contrasts that differ from kind to kind."""
    draw = np.random.default_rng(kind)
    colour = draw.normal(0, 1, (1, 3, 1, 1))
    smooth = np.repeat(
        np.repeat(draw.normal(size=(count, 3, 12 // (kind + 1), 12 // (kind + 1))), kind + 1, 2), kind + 1, 3
    )
    return (smooth * draw.uniform(0.5, 2, (1, 3, 1, 1)) + colour).astype(np.float32)


def folded() -> tuple[ir.Model, Analysis]:
    """A network with batch normalisation folded in: on white noise, each channel has mean 0 and spread 1."""
    weights = {"w1": random.normal(size=(8, 3, 3, 3)), "b1": np.zeros(8), "w2": random.normal(size=(16, 8, 3, 3)),
               "b2": np.zeros(16), "w3": random.normal(size=(16, 5))}  # fmt: skip
    noise = random.normal(size=(64, 3, 12, 12)).astype(np.float32)
    for weight, bias, result in (("w1", "b1", "a"), ("w2", "b2", "c")):
        mean, spread = seen(ready(FOLDED, weights)[0], result, noise)
        weights[weight] = weights[weight] / spread[:, None, None, None]
        weights[bias] = (weights[bias] - mean) / spread
    return ready(FOLDED, weights)


def test_channels_are_brought_back() -> None:
    model, analysis = folded()
    batches = [{"x": of_kind(k)} for k in (0, 1, 2)]
    twin = make_twin(model, analysis, batches, (0, 1, 2))
    assert twin is not None
    everything = np.concatenate([b["x"] for b in batches])
    (mean, spread), (mean_twin, spread_twin) = (seen(m, "c", everything) for m in (model, twin.model))
    assert np.std(np.log(spread_twin)) < 0.7 * np.std(np.log(spread))
    assert np.std(mean_twin / spread_twin) < 0.7 * np.std(mean / spread)


def test_what_is_fitted_goes_back() -> None:
    model, analysis = folded()
    twin = make_twin(model, analysis, [{"x": of_kind(k)} for k in (0, 1, 2)], (0, 1, 2))
    assert twin is not None
    weights = {n: twin.analysis.facts.weights[n].numpy() for n in ("w1", "b1", "w2", "b2", "w3")}
    assert any(np.abs(weights[n] - analysis.facts.weights[n].numpy()).max() > 1e-2 for n in ("w1", "w2"))
    for name, values in twin.restored(weights).items():
        np.testing.assert_allclose(values, analysis.facts.weights[name].numpy(), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_says_what_channels_were() -> None:
    scale, shift = np.array([1.0, 2.0, 0.5]), np.array([0.0, -1.0, 3.0])
    weights = {
        "scale": scale,
        "shift": shift,
        "mean": np.ones(3),
        "var": np.full(3, 4.0),
        "w": random.normal(size=(4, 3, 3, 3)),
    }
    model, analysis = ready(NORMED, weights)
    batches = [{"x": 5 * of_kind(k) + 2} for k in (0, 1)]
    twin = make_twin(model, analysis, batches, (0, 1))
    assert twin is not None
    mean, spread = seen(twin.model, "a", np.concatenate([b["x"] for b in batches]))
    np.testing.assert_allclose(mean, shift, atol=1e-3)
    np.testing.assert_allclose(spread, scale, rtol=1e-3)


def test_one_kind_of_inputs_cannot_disagree() -> None:
    model, analysis = folded()
    assert make_twin(model, analysis, [{"x": of_kind(0)}] * 2, (0, 0)) is None


def test_what_kinds_agree_on_is_kept() -> None:
    values = np.array([0.0, 1.0, 2.0, 3.0])
    alive = np.ones(4, bool)
    np.testing.assert_allclose(shrunk(values, np.stack([values, values + 5]), alive), values)
    other = np.stack([values, -values])
    np.testing.assert_allclose(shrunk(values, other, alive), np.full(4, 1.5))


def test_dead_channels_stay() -> None:
    means, variances = np.zeros((2, 5)), np.array([[1.0, 2.0, 4.0, 0.0, 1.0], [2.0, 1.0, 4.0, 0.0, 1.0]])
    scale, shift = standard(means, variances, 0.0)
    assert scale[3] == 1
    assert shift[3] == 0
    assert np.isfinite(scale).all()


def test_what_is_known_to_be_wrong_is_not_believed() -> None:
    """Kinds of pictures agree about the level of a layer more than they are right about it."""
    values, alive = np.array([0.0, 0.2]), np.ones(2, bool)
    both = np.stack([values, values])
    np.testing.assert_allclose(shrunk(values, both, alive, least=0.02), [0.1, 0.1])
    np.testing.assert_allclose(shrunk(values, both, alive, least=0.005), [0.05, 0.15])


def test_made_up_pictures_are_learnt_from_through_a_twin() -> None:
    model, analysis = folded()
    made_up = prepare_inputs(model, analysis, Wanted(samples=64), 0)
    assert made_up.twin is not None
    assert made_up.statistics.model is made_up.twin.model
    given = prepare_inputs(model, analysis, Wanted({"x": of_kind(0, 64)}), 0)
    assert given.twin is None
    assert given.statistics.model is given.model
