"""Inputs that are given judge the result, also where the weights alone decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.errors import CalibrationError
from graphprune.report.advice import advice

X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)


def report(perceptron: onnx.ModelProto, calib: Any) -> Any:
    return graphprune.prune(perceptron, 0.5, calib=calib, recipe="plain").report


def test_agreement_is_measured_on_them(perceptron: onnx.ModelProto) -> None:
    found = report(perceptron, {"x": X})
    assert found["judged_on"] == "the calibration inputs, which nothing was learnt from"
    assert found["fidelity"] != report(perceptron, None)["fidelity"]
    assert "calibrate" in found["seconds"]
    said = advice(found)
    assert not any("--calib" in a.options for a in said)
    assert any("--recipe auto" in a.options for a in said)


@pytest.mark.parametrize("recipe", ["plain", "random", "auto"])
def test_a_dry_run_says_what_the_real_one_does(perceptron: onnx.ModelProto, recipe: str) -> None:
    dry, real = (
        graphprune.prune(perceptron, 0.5, calib={"x": X}, recipe=recipe, dry_run=d).report
        for d in (True, False)
    )
    assert dry["fidelity"] == real["fidelity"]
    assert dry["fidelity"][0]["relative_error"] > 0
    assert dry["judged_on"] == real["judged_on"]
    assert ("nothing was learnt from" in dry["judged_on"]) == (recipe != "auto")


def test_a_dry_run_foretells_the_loss_of_a_classifier(perceptron: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(perceptron)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    found = graphprune.prune(model, 0.5, calib={"x": X}, recipe="random", dry_run=True).report["fidelity"]
    assert found[0]["drop"] > 0


def test_a_dry_run_without_inputs_says_that_it_measured_nothing(
    cli: Any, perceptron: onnx.ModelProto, tmp_path: Path
) -> None:
    onnx.save(perceptron, tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", X)
    given = (tmp_path / "net.onnx", "--recipe", "random", "--dry-run")
    assert "agreement with the original was not measured" in cli(*given).out
    said = cli(*given, "--calib", tmp_path / "x.npy").out
    assert "agreement with the original on the calibration inputs, which nothing was learnt from" in said
    assert "not measured" not in said


@pytest.mark.parametrize("calib", [None, "noise"])
def test_without_them_it_is_measured_on_random_ones(perceptron: onnx.ModelProto, calib: Any) -> None:
    found = report(perceptron, calib)
    assert found["judged_on"] == "random inputs"
    assert any("--calib" in a.options for a in advice(found))


def test_those_that_are_not_there_are_an_error(perceptron: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no such file"):
        report(perceptron, str(tmp_path / "nowhere.npz"))
    with pytest.raises(CalibrationError, match="does not fit"):
        report(perceptron, {"x": X[:, :5]})


def test_a_plan_without_a_repair_is_judged_on_them_too(perceptron: onnx.ModelProto) -> None:
    plan = graphprune.prune(perceptron, 0.5, recipe="plain").plan
    found, other = (graphprune.apply(plan, perceptron, calib=c).report for c in ({"x": X}, None))
    assert found["judged_on"] == "the calibration inputs, which nothing was learnt from"
    assert other["judged_on"] == "random inputs"
    assert found["fidelity"] == report(perceptron, {"x": X})["fidelity"]


@pytest.mark.parametrize(
    ("recipe", "better"), [("auto", "real ones (--calib) keep"), ("gp-free", "recipes that learn from real")]
)
def test_what_is_better_than_made_up_inputs_depends_on_the_recipe(
    perceptron: onnx.ModelProto, recipe: str, better: str
) -> None:
    said = graphprune.prune(perceptron, 0.5, recipe=recipe).report["warnings"]
    assert any("no calibration inputs were given" in w and better in w for w in said)
