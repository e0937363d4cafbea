"""Operators in the bodies of If, Loop and Scan are scored and repaired like any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.statistics import Statistics, find_linear
from graphprune.testing import analysed

# Hidden units that are mixtures of a few: what is cut can be made up for by what is left.
SCAN = """<ir_version: 8, opset_import: ["" : 17]>
g (float[t, n, 5] x) => (float[n, 3] y) {
    h = Scan(start, x) <num_scan_inputs = 1,
        body = step (float[n, 24] state, float[n, 5] row) => (float[n, 24] next) {
            turned = MatMul(state, u)
            given = MatMul(row, w)
            both = Add(given, turned)
            moved = Add(both, b)
            next = Tanh(moved)
        }>
    y = MatMul(h, v)
}"""
LOOP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[t, n, 5] x) => (float[n, 3] y) {
    shape = Shape(x)
    turns = Gather <axis = 0> (shape, zero)
    on = Constant <value = bool {1}> ()
    h = Loop(turns, on, start) <
        body = step (int64 i, bool go, float[n, 24] state) => (bool go_on, float[n, 24] next) {
            go_on = Identity(go)
            row = Gather <axis = 0> (x, i)
            turned = MatMul(state, u)
            given = MatMul(row, w)
            both = Add(given, turned)
            moved = Add(both, b)
            next = Tanh(moved)
        }>
    y = MatMul(h, v)
}"""
IF = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 5] x, bool fine) => (float[n, 3] y) {
    y = If(fine) <
        then_branch = yes () => (float[n, 3] p) {
            p1 = MatMul(x, w)
            p2 = Tanh(p1)
            p3 = MatMul(p2, v)
            p = Add(p3, c)
        },
        else_branch = no () => (float[n, 3] q) {
            q1 = MatMul(x, w2)
            q2 = Tanh(q1)
            q = MatMul(q2, v2)
        }>
}"""
HIDDEN = 24


def network(text: str) -> onnx.ModelProto:
    random = np.random.default_rng(3)
    few = random.standard_normal((6, HIDDEN))  # six directions in all
    weights = {
        "w": random.standard_normal((5, 6)) @ few / 6,
        "u": random.standard_normal((HIDDEN, 6)) @ few / 24,
        "b": np.full(HIDDEN, 0.2),
        "v": random.standard_normal((HIDDEN, 3)),
        "c": random.standard_normal(3),
        "w2": random.standard_normal((5, 6)) @ few / 6,
        "v2": random.standard_normal((HIDDEN, 3)),
        "start": np.zeros((4, HIDDEN)),
    }
    model = onnx.parser.parse_model(text)
    used = {n for node in model.graph.node for n in node.input}
    for node in model.graph.node:
        used |= {n for a in node.attribute if a.HasField("g") for inner in a.g.node for n in inner.input}
    for name, values in weights.items():
        if name in used:
            model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
    if "zero" in used:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "zero"))
    return model


def sequences(count: int = 24) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(5)
    return [{"x": random.standard_normal((7, 4, 5)).astype(np.float32)} for _ in range(count)]


def pruned(
    model: onnx.ModelProto, feeds: list[dict[str, np.ndarray]], **how: Any
) -> tuple[float, dict[str, Any]]:
    """The relative error of the output on inputs of its own, and the report."""
    result = graphprune.prune(model, ratio=0.5, calib=feeds[8:], normaliser="mean", **how)
    assert result.report["equivalence"]["status"] == "equal"
    (fidelity,) = result.report["fidelity"]
    return fidelity["relative_error"], result.report


@pytest.mark.parametrize("text", [SCAN, LOOP])
def test_a_recurrence_is_repaired(text: str) -> None:
    model, feeds = network(text), sequences()
    without, _ = pruned(model, feeds, compensation="none")
    repaired, report = pruned(model, feeds, compensation="refit")
    assert report["groups"][0]["after"] == HIDDEN // 2
    assert repaired < 0.5 * without


def test_the_moments_are_those_of_every_turn() -> None:
    model, feeds = network(SCAN), sequences(3)
    normal, analysis = analysed(model)
    statistics = Statistics(normal, analysis, feeds)
    item = next(i for i in statistics.linear if i.weight == "u")
    assert (item.outer != "", item.bias) == (True, "b")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    states = []
    for batch in feeds:
        state = np.zeros((4, HIDDEN), np.float32)
        for row in batch["x"]:
            states.append(state)
            state = np.tanh(state @ weights["u"] + row @ weights["w"] + weights["b"])
    rows = np.concatenate(states)
    (moments,) = statistics.moments(item)
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T, bias=True), atol=1e-5)


def test_the_main_graph_is_as_it_was() -> None:
    _, analysis = analysed(network(SCAN))
    assert [i.weight for i in find_linear(analysis)] == ["v"]
    assert {i.weight for i in find_linear(analysis, within=True)} == {"u", "w", "v"}


def test_units_of_a_recurrence_are_told_apart() -> None:
    """Twelve units that nothing reads are the ones that go."""
    model = network(SCAN)
    idle = np.arange(0, HIDDEN, 2)
    for tensor in model.graph.initializer:
        if tensor.name in ("u", "v"):
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[idle] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    error, _ = pruned(model, sequences(), compensation="none", criterion="obs")
    assert error < 1e-5


def test_the_branch_that_never_ran_keeps_its_weights() -> None:
    random = np.random.default_rng(1)
    feeds = [
        {"x": random.standard_normal((16, 5)).astype(np.float32), "fine": np.array(True)} for _ in range(24)
    ]
    model = network(IF)
    without, _ = pruned(model, feeds, compensation="none")
    repaired, report = pruned(model, feeds, compensation="refit")
    assert repaired < 0.5 * without
    assert sorted(g["after"] for g in report["groups"] if "after" in g) == [HIDDEN // 2, HIDDEN // 2]
    result = graphprune.prune(model, ratio=0.5, calib=feeds, normaliser="mean", compensation="refit")
    kept = {v.name: v for v in result.model.graph.initializer}
    before = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    rows = onnx.numpy_helper.to_array(kept["v2"])
    assert all((row == before["v2"]).all(axis=1).any() for row in rows)
