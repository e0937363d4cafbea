"""Losses that are measured group by group."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import graphprune

NET = """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 8] x) => (float[N, 4] y) {
a = MatMul(x, w1) b = Relu(a) c = MatMul(b, w2) d = Relu(c) y = MatMul(d, w3) }"""
ALIVE = 10


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_left_when_most_of_a_group_does_nothing_is_not_free(seed: int) -> None:
    """Removing three quarters of the first group costs nothing; the quarter behind them all but the network."""
    draw = np.random.default_rng(seed)
    model = onnx.parser.parse_model(NET)
    w1 = draw.standard_normal((8, 40))
    w1[:, ALIVE:] = 0
    arrays = {"w1": w1, "w2": draw.standard_normal((40, 40)), "w3": draw.standard_normal((40, 4))}
    for name, array in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    x = draw.standard_normal((512, 8)).astype(np.float32)
    result = graphprune.prune(model, target="macs=0.25", calib={"x": x}, compensation="refit", recipe="auto")
    left = {t.name: tuple(t.dims) for t in result.model.graph.initializer}
    assert left["w1"][1] >= ALIVE - 1
