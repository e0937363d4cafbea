"""The network as a whole is fitted to its outputs: what moves, what is compared, what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray

import graphprune
import graphprune_passes.compensations as compensations
from graphprune.analysis.facts import read_graph
from graphprune.compensate import optimisers, whole
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.stretch import Stretch, find_stretch
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.passes import CompensationProblem, Repair

Array = NDArray[Any]
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
SCORES = (
    "g (float[n, 8] x) => (float[n, 5] p) { a = Gemm(x, w1) h = Relu(a) b = Gemm(h, w2) i = Tanh(b) "
    "y = Gemm(i, w3) p = Softmax(y) }",
    {"w1": (8, 24), "w2": (24, 24), "w3": (24, 5)},
)
CHOSEN = (
    "g (float[n, 8] x) => (int64[n, 1] k, float[n, 24] h) { a = Gemm(x, w1) h = Relu(a) b = Gemm(h, w2) "
    "k = ArgMax(b) }",
    {"w1": (8, 24), "w2": (24, 5)},
)
BARRED = (
    "g (float[n, 8] x) => (float[n, 5] y) { a = Gemm(x, w1) h = Relu(a) s = Round(h) b = Gemm(s, w2) "
    "c = Relu(b) y = Gemm(c, w3) }",
    {"w1": (8, 24), "w2": (24, 16), "w3": (16, 5)},
)


def model_of(text: str, weights: dict[str, tuple[int, ...]], **more: Array) -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(f"{HEAD} {text}")
    arrays = {n: (2 * draw.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for n, s in weights.items()}
    for name, array in {**arrays, **more}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def stretch_of(model: onnx.ModelProto) -> Stretch | None:
    source = load(model)
    return find_stretch(read_graph(normalise(source.model)))


def run(model: onnx.ModelProto, x: Array) -> Array:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def test_scores_before_a_softmax_are_compared() -> None:
    stretch = stretch_of(model_of(*SCORES))
    assert stretch is not None
    assert stretch.ends == {"y": -1}
    assert set(stretch.weights) >= {"w1", "w2", "w3"}


def test_what_chooses_is_compared_by_what_it_chooses_from() -> None:
    stretch = stretch_of(model_of(*CHOSEN))
    assert stretch is not None
    assert set(stretch.ends) == {"b", "h"}


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("h = MatMul(x, w1) c = IsNaN(h) r = Where(c, o, h) y = MatMul(r, w2)", {"w1", "w2"}),
        ("h = MatMul(x, w1) t, i = TopK(h, k) y = MatMul(t, w2)", {"w1", "w2"}),
        ("h = MatMul(x, w1) n = LpNormalization(h) r = Mul(v, n) y = MatMul(r, w2)", {"w1", "w2", "v"}),
        ('h = MatMul(x, w1) y = Einsum<equation="ni,ij->nj">(h, w2)', {"w1", "w2"}),
        ("h = MatMul(x, w1) f = Reshape(h, k2) r = MatMul(w3, f) y = Flatten(r)", {"w1", "w3"}),
        ("h = MatMul(x, w1) e, i = TopK(h, k1) g = Gather(w4, i) y = Flatten(g)", {"w4"}),
    ],
)
def test_what_may_change(text: str, weights: set[str]) -> None:
    """Whatever a gradient reaches: scales, operands of either side, and weights of experts that are chosen."""
    shapes = {"w1": (8, 4), "w2": (4, 3), "w3": (2, 4), "w4": (4, 2, 3), "v": (4,)}
    used = {n: s for n, s in shapes.items() if f"{n}," in text or f"{n})" in text}
    more = {"o": np.zeros(4, np.float32), "k": np.array([4]), "k1": np.array([1]), "k2": np.array([-1, 4, 1])}
    model = model_of(f"g (float[n, 8] x) => (float[a, b] y) {{ {text} }}", used, **more)
    stretch = stretch_of(model)
    assert stretch is not None
    assert set(stretch.weights) == weights


def test_what_an_operator_without_gradient_reads_stays() -> None:
    stretch = stretch_of(model_of(*BARRED))
    assert stretch is not None
    assert set(stretch.weights) == {"w2", "w3"}
    assert stretch.inputs == ("s",)


@pytest.mark.parametrize(
    ("shape", "inputs"),
    [
        ("s = Shape(h) r = Reshape(h, s)", {"x"}),
        ("s0 = Shape(h) s = Mul(s0, o) r = Reshape(h, s)", {"x"}),
        ("z = NonZero(x) s = Shape(z) r0 = Expand(h, o) r1 = Reshape(r0, o2) r = Expand(r1, s)", {"x", "s"}),
    ],
)
def test_shapes_are_computed_along_the_way(shape: str, inputs: set[str]) -> None:
    """Those that follow from what is there: the network before is not run for them."""
    text = f"g (float[n, 2] x) => (float[a, b] y) {{ h = MatMul(x, w1) {shape} y = MatMul(r, w2) }}"
    ones = {"o": np.array([1, 1]), "o2": np.array([-1, 1])}
    stretch = stretch_of(model_of(text, {"w1": (2, 2), "w2": (2, 3)}, **ones))
    assert stretch is not None
    assert set(stretch.inputs) == inputs


def test_scores_are_compared_as_distributions() -> None:
    draw = np.random.default_rng(0)
    target = (3 * draw.standard_normal((64, 5))).astype(np.float32)
    likeness = Likeness.of_scores([target], -1)
    assert likeness.information > 0
    assert likeness.lost(target, target) == pytest.approx(0, abs=1e-6)
    found = target + draw.standard_normal(target.shape).astype(np.float32)
    way = draw.standard_normal(target.shape).astype(np.float32)
    ends = [likeness.lost(found + np.float32(e) * way, target) for e in (1e-2, -1e-2)]
    assert float((likeness.slope(found, target) * way).sum()) == pytest.approx(
        (ends[0] - ends[1]) / 2e-2, rel=1e-2
    )


@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_what_cannot_be_scores_is_compared_by_value(scale: float) -> None:
    target = np.random.default_rng(0).standard_normal((64, 5)) * scale
    assert Likeness.of_scores([target.astype(np.float32)], -1).information == 0


def test_batches_of_one_sample_have_a_variance() -> None:
    targets = list(np.random.default_rng(0).standard_normal((64, 1, 5)).astype(np.float32))
    together = Likeness.of_values([np.concatenate(targets)]).variance
    assert Likeness.of_values(targets).variance == pytest.approx(together)
    ragged = [t[:, : 2 + k % 3] for k, t in enumerate(targets)]
    assert 0.2 < Likeness.of_values(ragged).variance < 2


@pytest.mark.parametrize(("words", "columns", "tied"), [(11, 11, False), (11, 7, False), (11, 11, True)])
def test_scores_of_words_are_known_by_the_table(words: int, columns: int, tied: bool) -> None:
    table = "t = Transpose(e) y = MatMul(h, t)" if tied else "y = MatMul(h, w2)"
    text = f"g (int64[n, t] x) => (float[n, t, {columns}] y) {{ a = Gather(e, x) h = MatMul(a, w1) {table} }}"
    stretch = stretch_of(model_of(text, {"e": (words, 8), "w1": (8, 8), "w2": (8, columns)}))
    assert stretch is not None
    assert stretch.scores == ({"y"} if words == columns else set())


def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many each time weights are fitted."""
    found, descend = [], whole.descend

    def counted(*given: Any) -> Any:
        found.append(given[4])
        return descend(*given)

    monkeypatch.setattr(whole, "descend", counted)
    monkeypatch.setattr(whole, "STEPS", 100)
    monkeypatch.setattr(whole, "LONG", 300)
    monkeypatch.setattr(whole, "MADE_UP", 200)
    calib = np.random.default_rng(1).standard_normal((512, 8)).astype(np.float32)
    lost(model_of(*SCORES), calib, calib)
    return found


def test_real_inputs_are_fitted_to_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps_taken(monkeypatch) == [300]


def test_made_up_inputs_are_fitted_to_for_less_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlike(problem: CompensationProblem, repaired: Repair) -> Repair:
        return whole.fit_whole(replace(problem, lifelike=False), repaired)

    monkeypatch.setattr(compensations, "fit_whole", unlike)
    assert steps_taken(monkeypatch) == [200]


def test_what_is_near_is_not_fitted_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole, "NEAR", 1.0)
    assert steps_taken(monkeypatch) == [100]


def test_steps_end_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = whole._Whole._plan
    monkeypatch.setattr(whole, "WORK", 5_000_000)
    plans: list[Any] = []
    monkeypatch.setattr(whole._Whole, "_plan", lambda self: plans.append(plan(self)) or plans[-1])
    (steps,) = steps_taken(monkeypatch)
    assert steps == plans[0].long < 300


def test_the_turning_of_matrices_counts_as_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimisers, "_PRODUCTS", 1_500_000)
    (steps,) = steps_taken(monkeypatch)
    assert steps < 250


def lost(model: onnx.ModelProto, calib: Array, fresh: Array) -> float:
    result = graphprune.prune(model, 0.5, recipe="auto", compensation="refit-blocks", calib={"x": calib})
    assert result.report["equivalence"]["status"] == "equal"
    expected, found = run(model, fresh), run(result.model, fresh)
    return float((expected * np.log(expected / found)).sum(axis=-1).mean())


def test_outputs_are_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(*SCORES)
    draw = np.random.default_rng(1)
    calib, fresh = (draw.standard_normal((n, 8)).astype(np.float32) for n in (512, 256))
    nearer = lost(model, calib, fresh)
    monkeypatch.setattr(whole, "WORK", 0)
    assert nearer < 0.9 * lost(model, calib, fresh)


def test_few_inputs_are_not_learnt_by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(*SCORES)
    draw = np.random.default_rng(1)
    calib, fresh = (draw.standard_normal((n, 8)).astype(np.float32) for n in (192, 256))
    nearer = lost(model, calib, fresh)
    monkeypatch.setattr(whole, "mixed", lambda *_, **__: iter(()))
    assert nearer < 0.9 * lost(model, calib, fresh)


def test_smaller_steps_are_tried_where_large_ones_lead_away(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(*SCORES)
    draw = np.random.default_rng(1)
    calib, fresh = (draw.standard_normal((n, 8)).astype(np.float32) for n in (512, 256))
    far, found = 5.0, []
    for rates in ((far, whole.RATES[0]), (far,)):
        monkeypatch.setattr(whole, "RATES", rates)
        found.append(lost(model, calib, fresh))
    assert found[0] < 0.9 * found[1]


def test_equal_seeds_give_equal_bytes() -> None:
    model = model_of(*SCORES)
    calib = np.random.default_rng(1).standard_normal((256, 8)).astype(np.float32)
    first, second = (
        graphprune.prune(model, 0.5, recipe="auto", compensation="refit-blocks", calib={"x": calib})
        for _ in range(2)
    )
    assert first.model.SerializeToString() == second.model.SerializeToString()


def test_values_that_get_worse_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that are no scores, of which a divergence along their last axis says little."""
    text, weights = SCORES
    model = model_of(text.replace("p)", "y)").replace(" p = Softmax(y)", ""), weights)
    draw = np.random.default_rng(1)
    calib, fresh = (draw.standard_normal((n, 8)).astype(np.float32) for n in (512, 256))
    expected, lost = run(model, fresh), []
    for work in (whole.WORK, 0):
        monkeypatch.setattr(whole, "WORK", work)
        found = graphprune.prune(model, 0.5, recipe="auto", compensation="refit-blocks", calib={"x": calib})
        lost.append(float(np.square(run(found.model, fresh) - expected).mean()))
    assert lost[0] < 1.02 * lost[1]
