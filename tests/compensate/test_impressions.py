"""Made-up pictures that are moved towards the classes of a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
import scipy.special
from numpy.typing import NDArray

import graphprune
from graphprune.analysis import analyse_model
from graphprune.calibrate.pictures import pictures
from graphprune.compensate import impressions
from graphprune.compensate.descent import Descent
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.record import record

Array = NDArray[Any]
TRAINED = Path(__file__).resolve().parents[2] / "models/resnet_se.onnx"
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
MAPS = (
    "g (float[n, 1, 8, 8] x) => (float[n, 4, 8, 8] y) { a = Conv <pads = [1, 1, 1, 1]> (x, w1) h = Relu(a) "
    "y = Conv <pads = [1, 1, 1, 1]> (h, w2) }",
    {"w1": (8, 1, 3, 3), "w2": (4, 8, 3, 3)},
)
# Channels last; the sizes of what is flattened are computed on the way.
LAST = (
    "g (float[n, 8, 8, 1] x) => (float[n, 4] p) { t = Transpose <perm = [0, 3, 1, 2]> (x) a = Conv(t, w1) "
    "h = Relu(a) s = Shape <end = 1> (h) r = Concat <axis = 0> (s, k) f = Reshape(h, r) y = MatMul(f, w2) "
    "p = Softmax(y) }",
    {"w1": (6, 1, 3, 3), "w2": (216, 4)},
)


def model_of(text: str, weights: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    arrays = {n: (draw.standard_normal(s) / np.sqrt(np.prod(s[1:]) / 4)) for n, s in weights.items()}
    for name, array in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "k"))
    return model


def impressed(
    model: Any, shape: tuple[int, ...], axes: tuple[int, int], moments: dict[str, Array] | None = None
) -> tuple[list[Any], Any]:
    normal = normalise(load(model).model)
    analysis = analyse_model(normal, record(normal, 0))
    name = analysis.facts.inputs[0]
    draw = np.random.default_rng(0)
    given = [{name: pictures(shape, axes, draw, k).astype(np.float32)} for k in (0, 1, 2)]
    return given, impressions.impressed(normal, analysis, given, lambda: moments or {}, 0, 1 << 28)


def sure_of(model: bytes, batches: Any) -> list[float]:
    """What each batch is taken for the classes drawn for it with, on average."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = []
    for k, feeds in enumerate(batches):
        scores = session.run(None, dict(feeds))[0]
        shares = scores if np.allclose(scores.sum(-1), 1, atol=1e-4) else scipy.special.softmax(scores, -1)
        chosen = impressions._wanted(scores, (0, k)).argmax(-1)
        found.append(float(shares[np.arange(len(shares)), chosen].mean()))
    return found


@pytest.mark.parametrize("channels_last", [False, True])
def test_pictures_are_taken_for_their_classes(channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "STEPS", 30)
    if channels_last:
        model = model_of(*LAST).SerializeToString()
        given, found = impressed(onnx.load_from_string(model), (8, 8, 8, 1), (1, 2))
    else:
        model = TRAINED.read_bytes()
        given, found = impressed(str(TRAINED), (8, 1, 28, 28), (2, 3))
    before, after = sure_of(model, given), sure_of(model, found)
    gained = np.subtract(after, before)
    assert gained.mean() > 0.05
    assert gained.min() > -0.01
    for old, new in zip(given, found, strict=True):
        (x, y) = (next(iter(b.values())) for b in (old, new))
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert 0 < float(np.sqrt(np.square(y - x).mean())) < 1  # still what it was, but for some waves


def test_maps_are_no_classes() -> None:
    assert impressed(model_of(*MAPS), (8, 1, 8, 8), (2, 3))[1] is None


def test_channels_come_nearer_to_what_training_gave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "STEPS", 30)
    text, weights = MAPS
    model = model_of(text, weights)
    wanted = np.stack([np.linspace(-0.5, 0.5, 8), np.linspace(0.5, 1.0, 8)])
    given, found = impressed(model, (8, 1, 8, 8), (2, 3), {"a": wanted, "missing": wanted})
    model.graph.output.append(onnx.ValueInfoProto(name="a"))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def apart(batches: Any) -> list[float]:
        seen = [session.run(["a"], dict(b))[0] for b in batches]
        moments = [np.stack([a.mean((0, 2, 3)), a.std((0, 2, 3))]) for a in seen]
        return [float((np.square(m - wanted) / wanted[1] ** 2).sum()) for m in moments]

    before, after = apart(given), apart(found)
    assert all(b < 0.7 * a for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("spreads", [(0.5, 2.0), (0.0, 2.0)])
def test_slopes_of_moments_are_those_of_their_distance(spreads: tuple[float, float]) -> None:
    """Channels without a spread count as if they had a tenth of what the others have on average."""
    draw = np.random.default_rng(0)
    array, wanted = draw.standard_normal((3, 2, 4, 5)), np.array([[0.3, -1.0], spreads])
    unit = np.maximum(spreads, 0.1 * np.mean(spreads))

    def distance(a: Array) -> float:
        mean, spread = a.mean((0, 2, 3)), a.std((0, 2, 3))
        apart = np.square((mean - wanted[0]) / unit) + np.square((spread - wanted[1]) / unit)
        return impressions.MATCHED * len(a) * float(apart.mean())

    slope, way = impressions._Channels().slope(array, wanted), draw.standard_normal(array.shape)
    measured = (distance(array + 1e-6 * way) - distance(array - 1e-6 * way)) / 2e-6
    assert measured == pytest.approx(float((slope * way).sum()), rel=1e-4)


def test_large_networks_are_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "WORK", 1_000_000)
    assert impressed(str(TRAINED), (8, 1, 28, 28), (2, 3))[1] is None


def test_as_many_pictures_are_moved_as_the_work_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Descent, "work", lambda *_: 10)
    monkeypatch.setattr(impressions, "WORK", 10 * impressions.FEWEST_STEPS * 2)
    given, found = impressed(str(TRAINED), (8, 1, 28, 28), (2, 3))
    assert [a is b for a, b in zip(given, found, strict=True)] == [False, False, True]
    monkeypatch.setattr(impressions, "WORK", 10 * impressions.FEWEST_STEPS)
    assert impressed(str(TRAINED), (8, 1, 28, 28), (2, 3))[1] is None  # a third is not worth it


def test_a_run_without_inputs_says_so() -> None:
    result = graphprune.prune(TRAINED, ratio=0.3, compensation="refit", recipe="auto", benchmark=False)
    assert "moved towards those of training" in result.report["method"]["calibration"]["source"]
