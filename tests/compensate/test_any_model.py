"""The default recipe on every hand-made graph: whatever its form, the result is verified and nothing breaks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]


def handmade() -> Any:
    spec = importlib.util.spec_from_file_location("handmade_graphs", ROOT / "models/handmade.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.HANDMADE


HANDMADE = handmade()


@pytest.mark.parametrize("name", sorted(set(HANDMADE) - {"shape_arithmetic"}))
def test_default_recipe(name: str) -> None:
    result = graphprune.prune(HANDMADE[name](), 0.5, calib="noise", calib_samples=32)
    assert result.report["equivalence"]["status"] == "equal"
    assert result.report["method"]["recipe"] == "auto"
    assert result.report["after"]["params"] < result.report["before"]["params"]


def test_what_cannot_be_followed_is_cut_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for activations, so a fault in following them costs accuracy, not the result."""

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("some tensor")

    monkeypatch.setattr("graphprune.inputs.CompensationProblem", broken)
    model = HANDMADE["residual_add"]()
    report = graphprune.prune(model, 0.5, calib="noise", calib_samples=8).report
    assert report["equivalence"]["status"] == "equal"
    assert report["method"]["recipe"] == "plain"
    assert any("some tensor" in w for w in report["warnings"])
    with pytest.raises(KeyError):
        graphprune.prune(model, 0.5, recipe="auto", calib="noise", calib_samples=8)


def test_made_up_inputs_that_do_not_run_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths that follow from the data, say, may not fit what was made up; inputs that were given must."""

    def refused(*_: Any, **__: Any) -> Any:
        raise ModelError("the model did not run: 5 by 7")

    monkeypatch.setattr("graphprune.pipeline.prepare_inputs", refused)
    model = HANDMADE["residual_add"]()
    report = graphprune.prune(model, 0.5).report
    assert report["equivalence"]["status"] == "equal"
    assert report["method"]["recipe"] == "plain"
    assert any("5 by 7" in w and "--calib" in w for w in report["warnings"])
    with pytest.raises(ModelError, match="5 by 7"):
        graphprune.prune(model, 0.5, calib="noise", calib_samples=8)


BRANCHES = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 6] x, bool wide) => (float[n, 4] y) {
 h = MatMul(x, a)
 r = Relu(h)
 z = MatMul(r, b)
 y = If (wide) <
  then_branch = one () => (float[n, 4] p) { e = MatMul(z, c)  f = Relu(e)  p = MatMul(f, d) },
  else_branch = two () => (float[n, 4] q) { k = MatMul(z, s)  l = Relu(k)  q = MatMul(l, t) }
 > }"""


def test_branches_that_no_input_took_are_cut_last() -> None:
    """What they lose cannot be seen, so it is not taken for nothing."""
    model = onnx.parser.parse_model(BRANCHES)
    draw = np.random.default_rng(0)
    shapes = {"a": (6, 24), "b": (24, 8), "c": (8, 24), "d": (24, 4), "s": (8, 24), "t": (24, 4)}
    for name, shape in shapes.items():
        values = draw.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    feeds = [{"x": draw.normal(size=(16, 6)).astype(np.float32), "wide": np.array(True)} for _ in range(12)]

    def kept(target: str) -> tuple[dict[str, int], list[str]]:
        report = graphprune.prune(model, target=target, calib=feeds).report
        return {g["key"]: g["after"] for g in report["groups"]}, report["warnings"]

    widths, warnings = kept("params=0.8")
    assert "s[1]" not in widths
    assert widths
    assert not any("no calibration input came" in w for w in warnings)
    widths, warnings = kept("params=0.15")
    assert widths["s[1]"] < 24
    assert any("no calibration input came" in w and "s[1]" in w for w in warnings)
