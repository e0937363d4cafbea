"""Measures of a model: the user's own function, and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.errors import CalibrationError, GraphPruneError, UsageError
from graphprune.metrics import Predict, load_metric

X = np.random.default_rng(2).normal(size=(12, 8))


@pytest.fixture
def labels(small: onnx.ModelProto) -> np.ndarray:
    """What the small net itself says, but for the last three inputs."""
    seen: list[np.ndarray] = []
    graphprune.evaluate(small, lambda predict: float(bool(seen.append(predict({"x": X})["y"]))))
    found = seen[0].argmax(1)
    found[-3:] = (found[-3:] + 1) % 4
    return found


def test_predict_takes_arrays_by_name_or_alone(small_path: Path) -> None:
    def same(predict: Predict) -> float:
        assert (predict.inputs, predict.outputs, predict.path) == (("x",), ("y",), small_path)
        by_name, alone = predict({"x": X}), predict(X)  # float64 is converted
        assert by_name.keys() == {"y"}
        return float((by_name["y"] == alone["y"]).all())

    assert graphprune.evaluate(small_path, same).values == ({"same": 1.0},)


def test_models_side_by_side(small: onnx.ModelProto, small_path: Path) -> None:
    pruned = graphprune.prune(small, recipe="plain").model

    def size(predict: Predict) -> dict[str, float]:
        return {"bytes": predict.path.stat().st_size, "mean": float(predict(X)["y"].mean())}

    size.lower_is_better = True  # type: ignore[attr-defined]
    found = graphprune.evaluate([small_path, pruned], size)
    data = found.as_data()
    assert data["lower_is_better"] is True
    assert [m["model"] for m in data["models"]] == [str(small_path), "model 2"]
    first, second = found.values
    assert data["models"][0]["difference"] == {"bytes": 0.0, "mean": 0.0}
    assert data["models"][1]["difference"]["bytes"] == second["bytes"] - first["bytes"] < 0


def test_accuracy_by_labels(small: onnx.ModelProto, labels: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", labels)
    given = {"calib": {"x": X}, "labels": tmp_path / "labels.npy"}
    assert graphprune.evaluate(small, **given).values == ({"top1": 0.75},)
    (top5,) = graphprune.evaluate(small, "top5", **given).values
    assert top5 == {"top5": 1.0}  # there are only four classes


def test_labels_of_every_position(small: onnx.ModelProto) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    n (float[b, 3, 4] x) => (float[b, 3, 4] scores) { scores = Neg (x) }"""
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    found = graphprune.evaluate(onnx.parser.parse_model(text), labels=x.argmin(2), calib={"x": x})
    assert found.values == ({"top1": 1.0},)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (np.zeros(11, int), "11 labels for 12 rows"),
        (np.zeros(13, int), "13 labels for 12 rows"),
        (np.zeros(12), "whole numbers"),
        ("nowhere.npy", "cannot read the labels nowhere.npy"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, complaint: str, small: onnx.ModelProto) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        graphprune.evaluate(small, labels=labels, calib={"x": X})


def fails(predict: Predict) -> float:
    raise KeyError("picture")


def leaves(predict: Predict) -> float:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        (fails, "the metric fails failed: KeyError: 'picture'"),
        (leaves, "the metric leaves failed: SystemExit: 3"),
        (lambda predict: "good", "returned 'good': a metric is a function of one argument, predict"),
        (lambda predict: float("nan"), "no finite number"),
        (lambda predict: {}, "no finite number"),
        (lambda predict: predict({"z": X})["y"].sum(), "no array for input 'x': the model wants x"),
        ("accuracy", "write module:function or file.py:function"),
        ("nowhere.py:accuracy", "the metric nowhere.py: no such file"),
        ("no_such_module:accuracy", "cannot import 'no_such_module'"),
        ("math:accuracy", "'math' has no function 'accuracy'"),
    ],
)
def test_metrics_that_do_not_work(metric: Any, complaint: str, small: onnx.ModelProto) -> None:
    with pytest.raises(GraphPruneError, match=complaint):
        graphprune.evaluate(small, metric)


def test_unknown_measure_of_labels(small: onnx.ModelProto) -> None:
    with pytest.raises(UsageError, match="top1 or top5, not 'f1'"):
        graphprune.evaluate(small, "f1", labels=np.zeros(12, int), calib={"x": X})


def test_drop_is_worse_whatever_the_direction() -> None:
    def loss(predict: Predict) -> float:
        return 0.0

    assert load_metric(loss).drop(0.9, 0.8) == pytest.approx(0.1)
    loss.lower_is_better = True  # type: ignore[attr-defined]
    assert load_metric(loss).drop(0.9, 0.8) == pytest.approx(-0.1)
