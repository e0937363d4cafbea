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
