"""Inputs that are too few for what is learnt from them are told, whatever is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.statistics import Looked, too_few
from tests.rules.building import build

DRAW = np.random.default_rng(3)
MLP = """mlp (float[n, 8] x) => (float[n, 4] y) <float[8, 48] A, float[48, 4] B>
    { h = MatMul(x, A)  r = Relu(h)  y = MatMul(r, B) }"""
CNN = """cnn (float[n, 2, 16, 16] x) => (float[n, 3, m, k] y) <float[12, 2, 3, 3] A, float[3, 12, 3, 3] B>
    { h = Conv(x, A)  r = Relu(h)  y = Conv(r, B) }"""


@pytest.fixture(scope="module")
def perceptron() -> onnx.ModelProto:
    return build(MLP)


@pytest.fixture(scope="module")
def convolutions() -> onnx.ModelProto:
    return build(CNN)


def told(model: onnx.ModelProto, samples: int, **options: Any) -> list[str]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    x = DRAW.normal(size=(samples, *shape)).astype(np.float32)
    given: dict[str, Any] = {
        "calib": {"x": x},
        "verify": False,
        "structures": ("neurons", "channels"),
        **options,
    }
    warnings = graphprune.prune(model, 0.5, **given).report["warnings"]
    return [w for w in warnings if "too few calibration inputs" in w]


@pytest.mark.parametrize("recipe", ["wanda-sp", "cfsp"])
def test_scores_of_few_rows_are_told(recipe: str, perceptron: onnx.ModelProto) -> None:
    (said,) = told(perceptron, 6, recipe=recipe)
    assert "scored on fewer rows than they read columns" in said
    assert "6 rows for 48 columns, from 6 samples" in said
    assert told(perceptron, 56, recipe=recipe) == []


def test_repairs_on_few_rows_are_told(perceptron: onnx.ModelProto) -> None:
    (said,) = told(perceptron, 6, criterion="l1", compensation="refit")
    assert "repaired on fewer rows than they keep columns" in said
    assert "6 rows for 24 columns, from 6 samples" in said
    assert told(perceptron, 56, criterion="l1", compensation="refit") == []


@pytest.mark.parametrize(("parts", "columns"), [({"criterion": "wanda"}, 108), ({"recipe": "auto"}, 54)])
def test_many_rows_of_one_sample_are_told_too(
    parts: dict[str, str], columns: int, convolutions: onnx.ModelProto
) -> None:
    """An image has a row for each of its positions."""
    (said,) = told(convolutions, 1, **parts)
    assert "on 1 sample only" in said
    assert f"144 rows for {columns} columns" in said
    assert told(convolutions, 48, **parts) == []


def test_copies_are_no_samples(convolutions: onnx.ModelProto) -> None:
    x = np.concatenate([DRAW.normal(size=(1, 2, 16, 16)).astype(np.float32)] * 48)
    (said,) = told(convolutions, 1, criterion="wanda", calib={"x": x})
    assert "on 1 sample only" in said


def test_activations_that_are_not_read_in_rows_count_samples(perceptron: onnx.ModelProto) -> None:
    (said,) = told(perceptron, 6, criterion="minitron")
    assert 'on 6 samples only (worst: "MatMul' in said
    assert "48 columns)" in said


def test_weights_alone_need_none(perceptron: onnx.ModelProto) -> None:
    assert told(perceptron, 6, recipe="plain") == []
    assert told(perceptron, 6, criterion="l1", allocation="cfsp-sigmoid") == []


def test_a_recipe_without_a_repair_says_that_its_inputs_are_made_up(perceptron: onnx.ModelProto) -> None:
    warnings = graphprune.prune(perceptron, 0.5, recipe="wanda-sp").report["warnings"]
    assert any("no calibration inputs were given" in w for w in warnings)


@pytest.mark.parametrize(
    ("columns", "rows", "samples", "enough"),
    [
        (300, 300, 300, True),
        (300, 299, 299, False),
        (300, 9000, 32, True),
        (300, 9000, 31, False),
        (12, 9000, 12, True),
        (12, 9000, 11, False),
        (12, 0, 12, True),
        (12, 0, 11, False),
    ],
)
def test_rows_and_samples_both_count(columns: int, rows: int, samples: int, enough: bool) -> None:
    assert (too_few([Looked("fc", columns, rows)], samples, "scored") == []) == enough
