"""Every criterion takes a model whose units are made and read inside bodies."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.errors import UsageError
from graphprune.passes import all_passes

SCAN = """<ir_version: 8, opset_import: ["" : 17]>
g (float[t, n, 5] x) => (float[n, 3] y) {
    h = Scan(start, x) <num_scan_inputs = 1,
        body = step (float[n, 12] state, float[n, 5] row) => (float[n, 12] next) {
            turned = MatMul(state, u)
            given = MatMul(row, w)
            both = Add(given, turned)
            wide = Tanh(both)
            narrow = MatMul(wide, down)
            next = MatMul(narrow, up)
        }>
    y = MatMul(h, v)
}"""
CRITERIA = sorted(name for kind, name in all_passes() if kind == "criterion")


@pytest.fixture(scope="module")
def scan() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(SCAN)
    shapes = {"u": (12, 12), "w": (5, 12), "down": (12, 8), "up": (8, 12), "v": (12, 3)}
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((4, 12), np.float32), "start"))
    return model


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria(scan: onnx.ModelProto, criterion: str) -> None:
    random = np.random.default_rng(1)
    feeds = [{"x": random.standard_normal((5, 4, 5)).astype(np.float32)} for _ in range(6)]
    how = {"normaliser": "mean", "allocation": "uniform", "compensation": "none"}
    try:
        result = graphprune.prune(scan, ratio=0.4, calib=feeds, criterion=criterion, **how)
    except UsageError:  # it may say that it is for other models
        return
    assert result.report["equivalence"]["status"] == "equal"
