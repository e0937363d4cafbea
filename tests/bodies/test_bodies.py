"""If, Loop and Scan: what their bodies hold is pruned with everything around it."""

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.testing import prune_at_random

IF = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 4] x, bool pick) => (float[n, 3] y) {
    h = MatMul(x, w0)
    r = If(pick) <
        then_branch = yes () => (float[n, 8] a) { a1 = MatMul(h, w1) a = Relu(a1) },
        else_branch = no () => (float[n, 8] b) { b = MatMul(h, w2) }>
    y = MatMul(r, w3)
}"""

LOOP = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 4] x, int64 turns) => (float[n, 3] y, float[t, n, 3] all) {
    on = Constant <value = bool {1}> ()
    h0 = MatMul(x, w0)
    h, steps = Loop(turns, on, h0) <
        body = step (int64 i, bool go, float[n, 8] state)
            => (bool go_on, float[n, 8] next, float[n, 6] seen) {
            go_on = Identity(go)
            turned = MatMul(state, w1)
            next = Tanh(turned)
            seen = MatMul(state, w2)
        }>
    y = MatMul(h, w3)
    all = MatMul(steps, w4)
}"""

SCAN = """<ir_version: 8, opset_import: ["" : 17]>
g (float[t, n, 4] x) => (float[n, 3] y, float[t, n, 3] all) {
    rows = MatMul(x, w0)
    h, steps = Scan(start, rows) <num_scan_inputs = 1,
        body = step (float[n, 8] state, float[n, 8] row) => (float[n, 8] next, float[n, 8] seen) {
            turned = MatMul(state, w1)
            both = Add(turned, row)
            next = Tanh(both)
            seen = Identity(next)
        }>
    y = MatMul(h, w3)
    all = MatMul(steps, w3b)
}"""


def build(text: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(text)
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def test_if_branches_share_their_output() -> None:
    outcome = prune_at_random(build(IF, w0=(4, 10), w1=(10, 8), w2=(10, 8), w3=(8, 3)))
    assert outcome.equivalence.status == "equal"
    assert outcome.equivalence.change > 1e-2
    assert outcome.size("w1", 0) == outcome.size("w2", 0) == outcome.size("w0", 1) == 5
    assert outcome.size("w1", 1) == outcome.size("w2", 1) == outcome.size("w3", 0) == 4


def test_loop_state_is_one_dimension_through_all_turns() -> None:
    outcome = prune_at_random(build(LOOP, w0=(4, 8), w1=(8, 8), w2=(8, 6), w3=(8, 3), w4=(6, 3)))
    assert outcome.equivalence.status == "equal"
    assert outcome.equivalence.change > 1e-2
    assert outcome.size("w1", 0) == outcome.size("w1", 1) == outcome.size("w0", 1) == 4
    assert outcome.size("w2", 1) == outcome.size("w4", 0) == 3


def test_scan_state_and_rows() -> None:
    model = build(SCAN, w0=(4, 8), w1=(8, 8), w3=(8, 3), w3b=(8, 3), start=(1, 8))
    outcome = prune_at_random(model)
    assert outcome.equivalence.status in ("equal", "not checked"), outcome.equivalence
    if outcome.equivalence.status == "equal":
        assert outcome.size("w0", 1) == outcome.size("w1", 1) == 4


def test_constants_inside_bodies_are_weights() -> None:
    text = IF.replace(
        "b = MatMul(h, w2)",
        "w = Identity(w2) b0 = MatMul(h, w) k = Constant <value_float = 0.5> () b = Mul(b0, k)",
    )
    outcome = prune_at_random(build(text, w0=(4, 10), w1=(10, 8), w2=(10, 8), w3=(8, 3)))
    assert outcome.equivalence.status == "equal"
    assert outcome.size("w2", 1) == 4


def test_a_state_that_changes_its_size_is_frozen_with_a_reason() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 4] x, int64 turns) => (float[n, m] y) {
        on = Constant <value = bool {1}> ()
        h0 = MatMul(x, w0)
        h = Loop(turns, on, h0) <
            body = step (int64 i, bool go, float[n, m] state) => (bool go_on, float[n, k] next) {
                go_on = Identity(go)
                next = Concat <axis = 1> (state, state)
            }>
        y = Identity(h)
    }"""
    outcome = prune_at_random(build(text, w0=(4, 8)))
    assert outcome.equivalence.status in ("equal", "not checked")
    assert outcome.reason("w0[1]")


@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_ratios(ratio: float) -> None:
    outcome = prune_at_random(build(LOOP, w0=(4, 8), w1=(8, 8), w2=(8, 6), w3=(8, 3), w4=(6, 3)), ratio)
    assert outcome.equivalence.status == "equal"


def test_single_slots_joined_in_a_body_are_frozen_with_a_reason() -> None:
    """A row that is put together of single slots inside a branch keeps all of them."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 4] x, bool pick) => (float[n, 3] y) {
    h = MatMul(x, w0)
    r = If(pick) <
        then_branch = yes () => (float[n, 2] a) {
            p = MatMul(h, w1)
            q = MatMul(h, w2)
            a = Concat<axis = 1>(p, q) },
        else_branch = no () => (float[n, 2] b) { b = MatMul(h, w3) }>
    y = MatMul(r, w4)
}"""
    model = onnx.parser.parse_model(text)
    draw = np.random.default_rng(0)
    for name, shape in {"w0": (4, 8), "w1": (8, 1), "w2": (8, 1), "w3": (8, 2), "w4": (2, 3)}.items():
        values = draw.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    groups = {g.size: g.frozen for g in graphprune.analyse(model).groups if g.size in (2, 8)}
    assert groups[2]
    assert not groups[8]
