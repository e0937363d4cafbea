"""Repair: what can be made up for exactly, is."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import graphprune

ROOT = Path(__file__).resolve().parents[2]
DRAW = np.random.default_rng(0)


def script(name: str) -> Any:
    """A program of models/ as a module."""
    spec = importlib.util.spec_from_file_location(f"models_{name}", ROOT / f"models/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def model_of(text: str, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    return model


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return ort.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def doubled(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Random weights whose second half along an axis repeats the first."""
    half = list(shape)
    half[axis] //= 2
    values = DRAW.normal(size=half)
    return np.concatenate([values, values], axis=axis)


MATMUL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 6] x) => (float[n, 4] y) { h = MatMul(x, a)
 r = Relu(h)
 y = MatMul(r, b) }"""
CONV = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3, 8, 8] x) => (float[n, 5, 8, 8] y) { h = Conv<pads=[1,1,1,1]>(x, a)
 r = Relu(h)
 y = Conv<pads=[1,1,1,1]>(r, b) }"""
TRANSPOSED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 3, 4, 4] x) => (float[n, 5, 8, 8] y) { h = Conv(x, a)
 r = Relu(h)
 y = ConvTranspose<strides=[2,2]>(r, b) }"""
TIED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 6] x) => (float[n, 4] y) { h = MatMul(x, a)
 r = Relu(h)
 s = Sigmoid(h)
 p = MatMul(r, b)
 q = MatMul(s, b)
 y = Add(p, q) }"""
CASES: dict[str, tuple[str, dict[str, np.ndarray], tuple[int, ...]]] = {
    "matmul": (MATMUL, {"a": doubled((6, 16), 1), "b": DRAW.normal(size=(16, 4))}, (512, 6)),
    "conv": (CONV, {"a": doubled((8, 3, 3, 3), 0), "b": DRAW.normal(size=(5, 8, 3, 3))}, (64, 3, 8, 8)),
    "transposed": (
        TRANSPOSED,
        {"a": doubled((8, 3, 1, 1), 0), "b": DRAW.normal(size=(8, 5, 2, 2))},
        (64, 3, 4, 4),
    ),
    "transposed, overlapping": (
        TRANSPOSED.replace("strides=[2,2]", "strides=[2,2],pads=[1,1,1,1]"),
        {"a": doubled((8, 3, 1, 1), 0), "b": DRAW.normal(size=(8, 5, 4, 4))},
        (64, 3, 4, 4),
    ),
    "tied": (TIED, {"a": doubled((6, 16), 1), "b": DRAW.normal(size=(16, 4))}, (512, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_repeated_slots_cost_nothing(name: str) -> None:
    """Half of the slots repeat the other half: cut and repaired, the model gives what it gave."""
    text, weights, shape = CASES[name]
    model = model_of(text, weights)
    x = DRAW.normal(size=shape).astype(np.float32)
    plain = graphprune.prune(model, 0.5, criterion="obs", compensation="none", calib={"x": x})
    result = graphprune.prune(model, 0.5, calib={"x": x})
    assert result.report["equivalence"]["status"] == "equal"
    new = DRAW.normal(size=shape).astype(np.float32)
    expected, found = run(model, {"x": new}), run(result.model, {"x": new})
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < 2e-2 * scale
    assert np.abs(run(plain.model, {"x": new}) - expected).max() > 0.1 * scale, "the cut itself must show"


def test_constants_move_into_the_bias() -> None:
    """Slots that never change need no slot: their reader gets a bias it did not have."""
    a = np.concatenate([DRAW.normal(size=(6, 8)), np.zeros((6, 8))], axis=1)
    text = MATMUL.replace("r = Relu(h)", "c = Add(h, d)\n r = Relu(c)")
    weights = {"a": a, "d": np.concatenate([np.zeros(8), np.full(8, 2.0)]), "b": DRAW.normal(size=(16, 4))}
    model = model_of(text, weights)
    x = DRAW.normal(size=(512, 6)).astype(np.float32)
    result = graphprune.prune(model, 0.5, calib={"x": x})
    (kept,) = (g.kept for g in result.plan.groups.values())
    assert kept == list(range(8))
    np.testing.assert_allclose(run(result.model, {"x": x}), run(model, {"x": x}), rtol=1e-3, atol=1e-3)
    assert [n.op_type for n in result.model.graph.node][-1] == "Add"


def test_groups_of_a_convolution_want_rows_of_their_own() -> None:
    """Each group is fitted by itself, so that is what rows are counted against."""
    text = CONV.replace("y = Conv<pads", "y = Conv<group=2, pads").replace("[n, 5, 8", "[n, 4, 8")
    model = model_of(text, {"a": doubled((8, 3, 3, 3), 0), "b": DRAW.normal(size=(4, 4, 3, 3))})
    result = graphprune.prune(model, 0.5, calib={"x": DRAW.normal(size=(64, 3, 8, 8)).astype(np.float32)})
    (repaired,) = (o for o in result.report["method"]["repaired"] if o["columns"])
    assert (repaired["columns"], repaired["kept"]) == (4 * 9, 2 * 9)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(op: str) -> None:
    """The repair of recurrent weights brings the model nearer to the original."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
g (float[12, n, 8] x) => (float[12, 1, n, 8] y) {{ h = Relu(x0)
 y = {op}<hidden_size=8>(h, w, r) }}""".replace("Relu(x0)", "MatMul(x, a)")
    weights = {
        "a": doubled((8, 12), 1),
        "w": DRAW.normal(size=(1, gates * 8, 12)) * 0.3,
        "r": DRAW.normal(size=(1, gates * 8, 8)) * 0.2,
    }
    model = model_of(text, weights)
    x = DRAW.normal(size=(12, 96, 8)).astype(np.float32)
    batches = [{"x": x[:, k : k + 8]} for k in range(0, 96, 8)]
    result = graphprune.prune(model, 0.5, only=["a"], calib=batches)
    assert result.report["equivalence"]["status"] == "equal"
    expected, found = run(model, {"x": x}), run(result.model, {"x": x})
    assert np.abs(found - expected).max() < 2e-2 * np.abs(expected).max()


def test_same_seed_same_bytes(bundled: Callable[[str], Path], tmp_path: Path) -> None:
    calib = np.load(ROOT / "models/data/passages.npz")["calibration_tokens"][:96].astype(np.int64)
    for name in ("one", "two"):
        graphprune.prune(
            bundled("bilstm"), target="macs=0.6", calib=[calib], output=tmp_path / f"{name}.onnx"
        )
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


@pytest.mark.parametrize(
    ("name", "floor", "options"),
    [
        ("bilstm", 0.03, {"recipe": "auto", "compensation": "refit"}),
        ("vit", 0.04, {"recipe": "auto", "compensation": "refit"}),
        pytest.param("bilstm", 0.03, {}, marks=pytest.mark.slow),
        pytest.param("vit", 0.01, {}, marks=pytest.mark.slow),
        pytest.param("resnet_se", 0.01, {}, marks=pytest.mark.slow),
    ],
)
def test_accuracy_at_half_the_multiply_adds(
    name: str, floor: float, options: dict[str, str], bundled: Callable[[str], Path], tmp_path: Path
) -> None:
    module = script("evaluate")
    path, out = bundled(name), tmp_path / "out.onnx"
    result = graphprune.prune(path, target="macs=0.5", calib=module.calibration(path), output=out, **options)
    assert result.report["after"]["macs"] <= 0.5 * result.report["before"]["macs"]
    assert result.report["equivalence"]["status"] == "equal"
    assert module.evaluate(out)["value"] >= module.evaluate(path)["value"] - floor


def test_experts_are_repaired_by_what_comes_out_only() -> None:
    """Behind a choice operators get other rows than in the original, so there is nothing to refit them to."""
    model = script("handmade").HANDMADE["mixture_of_experts"]()
    lost = {}
    for compensation, says in (
        ("refit", "nothing was repaired"),
        ("refit-blocks", "repaired as a whole only"),
    ):
        report = graphprune.prune(model, 0.5, recipe="auto", compensation=compensation).report
        assert report["equivalence"]["status"] == "equal"
        assert any(says in w and "experts are chosen" in w for w in report["warnings"])
        lost[compensation] = report["fidelity"][0]["relative_error"]
    assert lost["refit-blocks"] < lost["refit"]


LOGS = """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 6] x) => (float[N, 3] y) {
    l = Log(x)
    h = MatMul(l, a)
    r = Relu(h)
    y = MatMul(r, b)
}"""


@pytest.mark.parametrize("zeros", [1, 300])
def test_values_that_are_not_finite_reach_no_weight(zeros: int) -> None:
    model = model_of(LOGS, {"a": DRAW.normal(size=(6, 16)), "b": DRAW.normal(size=(16, 3))})
    x = DRAW.uniform(0.5, 2, (256, 6)).astype(np.float32)
    x.reshape(-1)[np.random.default_rng(0).permutation(x.size)[:zeros]] = 0  # whose logarithm is infinite
    found = graphprune.prune(model, ratio=0.5, calib={"x": x}, benchmark=False)
    assert all(np.isfinite(onnx.numpy_helper.to_array(t)).all() for t in found.model.graph.initializer)
    assert np.isfinite(run(found.model, {"x": np.abs(x) + 0.1})).all()
    assert any("not finite" in w for w in found.report["warnings"])


def test_copies_of_inputs_are_told() -> None:
    model = model_of(LOGS, {"a": DRAW.normal(size=(6, 16)), "b": DRAW.normal(size=(16, 3))})
    x = DRAW.uniform(0.5, 2, (64, 6)).astype(np.float32)
    told = [
        graphprune.prune(model, ratio=0.5, calib={"x": given}, benchmark=False).report["warnings"]
        for given in (x, np.concatenate([x[:1]] * 64))
    ]
    assert [any("copies" in w for w in warnings) for warnings in told] == [False, True]
