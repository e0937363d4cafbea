"""If, Loop and Scan: what their bodies hold is pruned with everything around it."""

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.analysis import CostModel
from graphprune.testing import prune_at_random
from graphprune.validate import equivalence
from graphprune.validate.equivalence import run_all

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


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_a_number_of_turns_may_have_one_element() -> None:
    """Nothing is collected from turn to turn, so only the given number tells how many there are."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 4] x, int64[1] turns) => (float[n, 3] y) {
        on = Constant <value = bool {1}> ()
        h0 = MatMul(x, w0)
        h = Loop(turns, on, h0) <
            body = step (int64 i, bool go, float[n, 8] state) => (bool go_on, float[n, 8] next) {
                go_on = Identity(go)
                turned = MatMul(state, w1)
                next = Tanh(turned)
            }>
        y = MatMul(h, w3)
    }"""
    outcome = prune_at_random(build(text, w0=(4, 8), w1=(8, 8), w3=(8, 3)))
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.decision.keeps


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


@pytest.mark.parametrize(("into", "perm"), [(1, [1, 0, 2]), (2, [2, 0, 1]), (-1, [2, 0, 1]), (-3, [0, 1, 2])])
@pytest.mark.parametrize("cut", [1, -2])
def test_scan_along_other_axes(cut: int, into: int, perm: list[int]) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, t, 4] x) => (float[n, 3] y, float[t, n, 3] all) {{
        rows = MatMul(x, w0)
        last = Constant <value_int = 0> ()
        some = Gather <axis = 1> (rows, last)
        zero = Sub(some, some)
        h, steps = Scan(zero, rows) <num_scan_inputs = 1, scan_input_axes = [{cut}], scan_output_axes = [{into}],
            body = step (float[n, 8] state, float[n, 8] row) => (float[n, 8] next, float[n, 6] seen) {{
                turned = MatMul(state, w1)
                both = Add(turned, row)
                next = Tanh(both)
                seen = MatMul(next, w2)
            }}>
        y = MatMul(h, w3)
        front = Transpose <perm = {perm}> (steps)
        all = MatMul(front, w4)
    }}"""
    outcome = prune_at_random(build(text, w0=(4, 8), w1=(8, 8), w2=(8, 6), w3=(8, 3), w4=(6, 3)))
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.size("w0", 1) == outcome.size("w1", 1) == 4
    assert outcome.size("w2", 1) == outcome.size("w4", 0) == 3
    length = outcome.analysis.recording.shapes["x"][1]
    before = 4 * 8 + 8 * 8 + 8 * 6 + 6 * 3
    assert CostModel(outcome.analysis).cost().macs == length * before + 8 * 3


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


ALTERNATING = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 6] x, int64 turns) => (float[n, 3] y) {
    on = Constant <value = bool {1}> ()
    h0 = MatMul(x, w0)
    h = Loop(turns, on, h0) <
        body = step (int64 i, bool go, float[n, 16] s) => (bool go_on, float[n, 16] next) {
            go_on = Identity(go)
            rest = Mod(i, two)
            even = Equal(rest, zero)
            next = If(even) <
                then_branch = a () => (float[n, 16] p) { p1 = MatMul(s, w1) p2 = Tanh(p1) p = MatMul(p2, w2) },
                else_branch = b () => (float[n, 16] q) { q1 = MatMul(s, w3) q = Relu(q1) }>
        }>
    y = MatMul(h, w4)
}"""
LENGTHENING = """<ir_version: 8, opset_import: ["" : 17]>
g (float[n, 6] x, int64 turns) => (float[n, 3] y) {
    on = Constant <value = bool {1}> ()
    h0 = MatMul(x, w0)
    h = Loop(turns, on, h0) <
        body = step (int64 i, bool go, float[n, 16] s) => (bool go_on, float[n, 16] next) {
            go_on = Identity(go)
            more = Add(i, two)
            next = Loop(more, on, s) <
                body = inner (int64 j, bool keep, float[n, 16] t) => (bool keep_on, float[n, 16] u) {
                    keep_on = Identity(keep)
                    u1 = MatMul(t, w1)
                    u2 = Tanh(u1)
                    u = MatMul(u2, w2)
                }>
        }>
    y = MatMul(h, w4)
}"""
BRANCHES = """<ir_version: 8, opset_import: ["" : 17]>
g (float[t, n, 6] x, int64 rate) => (float[n, 3] y) {
    fine = Equal(rate, k)
    h = If(fine) <
        then_branch = a () => (float[d, n, 12] p) { pa, p = LSTM <hidden_size = 12> (x, w, r) },
        else_branch = b () => (float[d, n, 12] q) { qa, q = GRU <hidden_size = 12> (x, w2, r2) }>
    s = Squeeze(h, axes)
    y = MatMul(s, w4)
}"""


@pytest.mark.parametrize("turns", [0, 3])
@pytest.mark.parametrize("text", [ALTERNATING, LENGTHENING])
def test_bodies_in_bodies_whose_tensors_cannot_be_stacked(text: str, turns: int) -> None:
    """What is in the inner body has another shape in every turn, or never runs: it is cut by its weights."""
    shapes = {"w0": (6, 16), "w1": (16, 20), "w2": (20, 16), "w3": (16, 16), "w4": (16, 3)}
    model = build(text, **{name: shape for name, shape in shapes.items() if f"{name})" in text})
    for name, value in (("two", 2), ("zero", 0)):
        if name in text:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    random = np.random.default_rng(1)
    feeds = [
        {"x": random.standard_normal((4, 6)).astype(np.float32), "turns": np.array(turns)} for _ in range(6)
    ]
    result = graphprune.prune(model, ratio=0.5, calib=feeds, normaliser="mean", compensation="refit")
    assert result.report["equivalence"]["status"] == "equal"
    assert {(g["before"], g["after"]) for g in result.report["groups"]} == {(16, 8), (20, 10)}


@pytest.mark.parametrize("rate", [16000, 8000])
def test_the_branch_that_the_inputs_choose_is_proved(monkeypatch: pytest.MonkeyPatch, rate: int) -> None:
    shapes = {"w": (1, 48, 6), "r": (1, 48, 12), "w2": (1, 36, 6), "r2": (1, 36, 12), "w4": (12, 3)}
    model = build(BRANCHES, **shapes)
    for name, value in (("k", np.array(16000)), ("axes", np.array([0]))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    random = np.random.default_rng(1)
    feeds = [
        {"x": random.standard_normal((5, 4, 6)).astype(np.float32), "rate": np.array(rate)} for _ in range(6)
    ]
    seen: list[int] = []

    def watched(model, feeds, **options):
        seen.extend(int(f["rate"]) for f in feeds)
        return run_all(model, feeds, **options)

    monkeypatch.setattr(equivalence, "run_all", watched)
    result = graphprune.prune(model, ratio=0.5, calib=feeds, normaliser="mean", compensation="refit")
    assert result.report["equivalence"]["status"] == "equal"
    assert rate in seen


def test_a_shape_that_a_branch_gives_is_the_one_of_the_original() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 4] x, bool pick) => (float[n, 3] y) {
        h = MatMul(x, w0)
        s = If(pick) <
            then_branch = yes () => (int64[2] a) { a = Shape(h) },
            else_branch = no () => (int64[2] b) { b = Constant <value_ints = [3, 8]> () }>
        k = Gather(s, one)
        f = Cast <to = 1> (k)
        d = Div(h, f)
        y = MatMul(d, w1)
    }"""
    model = build(text, w0=(4, 8), w1=(8, 3))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "one"))
    outcome = prune_at_random(model)
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.size("w0", 1) == 4
