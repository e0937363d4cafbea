"""Tensors inside bodies, brought out: every turn of a loop, and the branch that ran."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.runtime import open_session
from graphprune.runtime.inside import Kind, show_inside

Build = Callable[..., ir.Model]
FLOAT = ir.DataType.FLOAT

LOOP = """g (float[n, 3] x, int64 turns) => (float[n, 3] y, float[t, n, 3] all) {
    on = Constant <value = bool {1}> ()
    y, all = Loop(turns, on, x) <
        body = step (int64 i, bool go, float[n, 3] state)
            => (bool go_on, float[n, 3] next, float[n, 3] seen) {
            go_on = Identity(go)
            next = Mul(state, w)
            seen = Identity(next)
        }>
}"""
SCAN = """g (float[n, 3] x, float[n, t, 3] rows) => (float[n, 3] y, float[n, 3, t] all) {
    y, all = Scan(x, rows) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [2],
        scan_output_directions = [1],
        body = step (float[n, 3] state, float[n, 3] row) => (float[n, 3] next, float[n, 3] seen) {
            both = Add(state, row)
            next = Mul(both, w)
            seen = Identity(next)
        }>
}"""
IF = """g (float[n, 3] x, bool pick) => (float[n, 3] y) {
    y = If(pick) <
        then_branch = yes () => (float[n, 3] a) { a1 = Add(x, w) a = Relu(a1) },
        else_branch = no () => (float[n, 3] b) { b1 = Mul(x, w) b = Neg(b1) }>
}"""
NESTED = """g (float[n, 3] x, int64 turns, bool pick) => (float[n, 3] y) {
    on = Constant <value = bool {1}> ()
    y = Loop(turns, on, x) <
        body = step (int64 i, bool go, float[n, 3] state) => (bool go_on, float[n, 3] next) {
            go_on = Identity(go)
            next = If(pick) <
                then_branch = yes () => (float[n, 3] a) { a1 = Add(state, w) a = Relu(a1) },
                else_branch = no () => (float[n, 3] b) { b1 = Mul(state, w) b = Neg(b1) }>
        }>
}"""
W = np.array([0.5, -2.0, 3.0], np.float32)
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def shown(model: ir.Model, feeds: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    before = [v.name for v in model.graph.outputs]
    found = show_inside(model, {name: Kind(FLOAT, 2) for name in names})
    with open_session(model, optimise=False) as session:
        given = session.run(feeds)
    assert [v.name for v in model.graph.outputs][: len(before)] == before
    return {name: given[where.output] for name, where in found.items()}


def test_every_turn_of_a_loop(build: Build) -> None:
    found = shown(build(LOOP, w=W), {"x": X, "turns": np.array(4)}, "state", "next")
    states = np.stack([X * W**k for k in range(5)])
    np.testing.assert_allclose(found["state"], states[:4])
    np.testing.assert_allclose(found["next"], states[1:])


def test_no_turn_at_all(build: Build) -> None:
    assert shown(build(LOOP, w=W), {"x": X, "turns": np.array(0)}, "state")["state"].size == 0


def test_every_turn_of_a_scan_whatever_its_own_axes(build: Build) -> None:
    rows = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    found = shown(build(SCAN, w=W), {"x": X, "rows": rows}, "row", "both", "state")
    np.testing.assert_array_equal(found["row"], rows.transpose(1, 0, 2))
    np.testing.assert_allclose(found["both"], found["state"] + found["row"], rtol=1e-6)


@pytest.mark.parametrize(("pick", "ran", "not_run"), [(True, "a1", "b1"), (False, "b1", "a1")])
def test_only_the_branch_that_ran(build: Build, pick: bool, ran: str, not_run: str) -> None:
    found = shown(build(IF, w=W), {"x": X, "pick": np.array(pick)}, "a1", "b1")
    np.testing.assert_allclose(found[ran], X + W if pick else X * W)
    assert found[not_run].size == 0


def test_a_branch_in_a_loop(build: Build) -> None:
    feeds = {"x": X, "turns": np.array(3), "pick": np.array(False)}
    found = shown(build(NESTED, w=W), feeds, "b1", "a1", "state")
    assert found["b1"].shape == (3, 2, 3)
    np.testing.assert_allclose(found["b1"], found["state"] * W)
    assert found["a1"].size == 0


def test_what_is_in_no_body_is_left_out(build: Build) -> None:
    model = build(IF, w=W)
    assert show_inside(model, {"x": Kind(FLOAT, 2), "y": Kind(FLOAT, 2)}) == {}
    assert len(model.graph.outputs) == 1
