"""What dimensions are called where their weights are not read as they are stored."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphprune.testing import analysed
from tests.rules.building import build

_FRAME = """g (float[n, t, 4] x) => (float[n, t, 3] y)
<float[4, 8] A, float[3, 8, 24] W, float[3, 8, 8] V, float[8, 3] B, {more}> {{
    h0 = MatMul(x, A)
    {loop}
    y = MatMul(h, B)
}}"""

_PERCEPTRON = "m = MatMul(state, w) r = Relu(m) p = Slice(r, zero, eight, two) c = MatMul(p, v)"

_ATTENTION = """m = MatMul(state, w) s = Reshape(m, parts) u = Transpose <perm = [0, 2, 1, 3]> (s)
    q, k, e = Split <axis = 1> (u)
    k1 = Transpose <perm = [0, 1, 3, 2]> (k) a = MatMul(q, k1) p = Softmax <axis = -1> (a) o = MatMul(p, e)
    o1 = Transpose <perm = [0, 2, 1, 3]> (o) o2 = Reshape(o1, whole) c = MatMul(o2, v)"""

_SCAN = """h = Scan(h0, W, V) <num_scan_inputs = 2,
    body = step (float[n, t, 8] state, float[8, 24] w, float[8, 8] v) => (float[n, t, 8] next) {{
        {body} next = Add(c, state)
    }}>"""

_LOOP = """h = Loop(turns, on, h0) <
    body = step (int64 i, bool go, float[n, t, 8] state) => (bool more, float[n, t, 8] next) {{
        more = Identity(go) w = Gather(W, i) v = Gather(V, i) {body} next = Add(c, state)
    }}>"""

_COUNTED = """h, last = Loop(turns, on, h0, none) <
    body = step (int64 i, bool go, float[n, t, 8] state, int64 at)
        => (bool more, float[n, t, 8] next, int64 after) {{
        more = Identity(go) after = Add(at, one)
        w = Gather(W, at) v = Gather(V, at) {body} next = Add(c, state)
    }}>"""

_MORE = (
    "int64[4] parts = {0, 0, 6, 4}, int64[3] whole = {0, 0, -1}, int64 turns = {3}, bool on = {1}, "
    "int64 none = {0}, int64 one = {1}, int64[1] zero = {0}, int64[1] eight = {8}, int64[1] two = {2}"
)


def kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Kinds of the groups that can be cut, by key."""
    return {g.key: g.kind for g in analysed(model)[1].groups if not g.frozen}


@pytest.mark.parametrize("loop", [_SCAN, _LOOP, _COUNTED], ids=["scan", "loop", "counted"])
def test_weights_stacked_over_turns_are_what_their_readers_make_of_them(loop: str) -> None:
    plain = _FRAME.format(loop=loop.format(body=_PERCEPTRON), more=_MORE)
    assert kinds(build(plain)) == {"A[1]": "hidden", "W[2]": "neurons", "W[2].2": "neurons"}
    attention = _FRAME.format(loop=loop.format(body=_ATTENTION), more=_MORE)
    assert kinds(build(attention, opset=17)) == {"A[1]": "hidden", "W[2]": "heads", "W[2].2": "head-dim"}


def test_what_a_turn_makes_of_the_last_is_no_weight() -> None:
    """The state starts as a stored matrix, but goes on as a product of activations."""
    text = """g (float[n, 4] x) => (float[6, 3] y)
    <float[4, 8] A, float[6, 8] W, float[8, 3] B, float[5, 4] C, int64 turns = {3}, bool on = {1}> {
        k = MatMul(x, A) kt = Transpose(k)
        h = Loop(turns, on, W) <
            body = step (int64 i, bool go, float[6, 8] state) => (bool more, float[6, 8] next) {
                more = Identity(go) s = MatMul(state, kt) p = Softmax <axis = -1> (s) next = MatMul(p, k)
            }>
        y = MatMul(h, B)
    }"""
    assert kinds(build(text)) == {"A[1]": "head-dim"}


def test_kernels_stacked_over_turns_have_channels() -> None:
    text = """g (float[n, 3, 5, 5] x) => (float[n, 3, 5, 5] y)
    <float[8, 3, 1, 1] A, float[3, 16, 8, 1, 1] W, float[3, 8, 16, 1, 1] V, float[3, 8, 1, 1] B> {
        h0 = Conv(x, A)
        h = Scan(h0, W, V) <num_scan_inputs = 2,
            body = step (float[n, 8, 5, 5] state, float[16, 8, 1, 1] w, float[8, 16, 1, 1] v)
                => (float[n, 8, 5, 5] next) {
                a = Conv(state, w) b = Relu(a) c = Conv(b, v) next = Add(c, state)
            }>
        y = Conv(h, B)
    }"""
    assert kinds(build(text)) == {"A[0]": "hidden", "W[1]": "channels"}


@pytest.mark.parametrize("groups", [8, 2, 1])
def test_a_quantised_convolution_is_called_what_the_plain_one_is(groups: int) -> None:
    shapes = {"A": (8, 3, 3, 3), "W": (8, 8 // groups, 3, 3), "B": (3, 8, 1, 1)}
    given = ", ".join(f"{{0}}{list(s)} {w}".format("int8") for w, s in shapes.items())
    stored = "".join(f"{w.lower()} = DequantizeLinear <axis = 0> ({w}, gain{w}, zero{w}) " for w in shapes)
    scales = ", ".join(f"float[{s[0]}] gain{w}, int8[{s[0]}] zero{w}" for w, s in shapes.items())
    text = """g (float[n, 3, 5, 5] x) => (float[n, 3, 5, 5] y) <{}> {{
        {} h = Conv <pads = [1, 1, 1, 1]> (x, {}) r = Relu(h)
        k = Conv <pads = [1, 1, 1, 1], group = {}> (r, {}) y = Conv(k, {}) }}"""
    quantised = build(
        text.format(f"{given}, {scales}", stored, "a", groups, "w", "b"),
        **{f"zero{w}": np.zeros(s[0]) for w, s in shapes.items()},
    )
    plain = build(text.format(given.replace("int8", "float"), "", "A", groups, "W", "B"))
    wanted = {8: {"A[0]": "channels"}, 1: {"A[0]": "channels", "W[0]": "channels"}}.get(
        groups, {"A[0]": "groups", "A[0].2": "channels", "W[0]": "channels"}
    )
    assert kinds(quantised) == kinds(plain) == wanted
