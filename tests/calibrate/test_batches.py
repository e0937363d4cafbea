"""Samples that come one by one are gathered, unless the first axis is not one of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.calibrate import Calibration, load_calibration
from graphprune.errors import CalibrationError
from graphprune.normalise import normalise
from graphprune.runtime import record

HEAD = '<ir_version: 8, opset_import: ["" : 17]> '
FREE = HEAD + "g (float[n, 3] x) => (float[n, 2] y) { y = MatMul(x, w) }"
FIXED = HEAD + "g (float[4, 3] x) => (float[4, 2] y) { y = MatMul(x, w) }"
TIME = HEAD + "g (float[t, 3] x) => (float[t, 2] y) { s = CumSum(x, axis) y = MatMul(s, w) }"
FIXED_TIME = HEAD + "g (float[4, 3] x) => (float[4, 2] y) { s = CumSum(x, axis) y = MatMul(s, w) }"
STATE = HEAD + "g (float[n, 3] x, float[1, n, 2] h) => (float[1, n, 2] y) { a = MatMul(x, w) y = Add(a, h) }"
X = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def load() -> Callable[..., Calibration]:
    weights = {"w": np.ones((3, 2), np.float32), "axis": np.array(0)}

    def loaded(text: str, what: Any, **options: Any) -> Calibration:
        model = onnx.parser.parse_model(text)
        for name, values in weights.items():
            if any(name in node.input for node in model.graph.node):
                model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        normal = normalise(ir.from_proto(model))
        return load_calibration(what, normal, record(normal), **options)

    return loaded


def sizes(found: Calibration) -> list[int]:
    return [len(feeds["x"]) for feeds in found.batches]


def joined(found: Calibration) -> Any:
    return np.concatenate([feeds["x"] for feeds in found.batches])


@pytest.mark.parametrize("form", ["array", "samples", "singles", "small batches", "rows"])
def test_gathered_in_order(load: Callable[..., Calibration], form: str) -> None:
    what: Any = {
        "array": X,
        "samples": iter(X),
        "singles": [x[None] for x in X],
        "small batches": [X[k : k + 20] for k in range(0, 300, 20)],
        "rows": X.tolist(),
    }[form]
    found = load(FREE, what)
    assert sizes(found) == [32] * 9 + [12] == sizes(load(FREE, {"x": X}))
    assert found.samples == 300
    np.testing.assert_array_equal(joined(found), X)


def test_large_batches_stay_as_they_are(load: Callable[..., Calibration]) -> None:
    assert sizes(load(FREE, [X[:64], X[64:104], X[104:105]])) == [32, 32, 20, 20, 1]


def test_few_samples_leave_batches_to_keep_aside(load: Callable[..., Calibration]) -> None:
    assert sizes(load(FREE, [x[None] for x in X[:80]])) == [10] * 8
    assert sizes(load(FREE, [x[None] for x in X[:12]])) == [8, 4]


def test_no_more_samples_than_wanted(load: Callable[..., Calibration]) -> None:
    found = load(FREE, [X[k : k + 5] for k in range(0, 300, 5)], samples=33)
    assert found.samples == 33
    np.testing.assert_array_equal(joined(found), X[:33])


def test_time_is_no_batch(load: Callable[..., Calibration]) -> None:
    assert sizes(load(TIME, [X[:5], X[5:10], X[10:15]])) == [5, 5, 5]
    with pytest.raises(CalibrationError, match="no samples of their own"):
        load(FIXED_TIME, [X[:3], X[3:6], X[6:9]])


def test_states_whose_first_axis_is_another_stay(load: Callable[..., Calibration]) -> None:
    feeds = [{"x": X[k : k + 1], "h": np.full((1, 1, 2), k, np.float32)} for k in range(3)]
    assert sizes(load(STATE, feeds)) == [1, 1, 1]


def test_a_fixed_batch_is_filled(load: Callable[..., Calibration]) -> None:
    for what in (X[:9], {"x": X[:9]}, [x[None] for x in X[:9]], [X[:3], X[3:6], X[6:9]]):
        found = load(FIXED, what)
        assert sizes(found) == [4, 4]
        np.testing.assert_array_equal(joined(found), X[:8])
        assert found.notes == ("1 calibration inputs were left out: the model takes 4 at a time",)
    assert not load(FIXED, X[:8]).notes
    with pytest.raises(CalibrationError, match="holds 3 calibration inputs, but the model takes 4 at a time"):
        load(FIXED, X[:3])
