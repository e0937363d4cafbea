"""Sounds and states made up for models that come without inputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

import graphprune
from graphprune.calibrate.carried import STEPS, carry, find_states
from graphprune.calibrate.sounds import measured, sound_axis, sounds
from graphprune.calibrate.synthetic import make_up
from graphprune.runtime.meaning import value_flow
from graphprune.runtime.record import record
from graphprune.runtime.session import open_session

READERS = {
    "Conv": """r (float[N, {length}] x) => (float[N, 4, M] y) <float[4, 1, 8] w, int64[1] one = {{1}}> {{
        u = Unsqueeze (x, one)  y = Conv <strides = [4]> (u, w) }}""",
    "Gemm": """r (float[N, {length}] x) => (float[N, 4] y) <float[{rows}, 4] w> {{ y = MatMul (x, w) }}""",
}


def reader(name: str, length: str) -> ir.Model:
    text = READERS[name].format(length=length, rows=length)
    return ir.from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'))


@pytest.mark.parametrize(
    ("name", "length", "shape", "free", "axis"),
    [
        ("Conv", "T", (32, 512), True, 1),
        ("Conv", "T", (32, 100), True, None),  # too short to be one
        ("Conv", "512", (32, 512), False, 1),
        ("Gemm", "512", (32, 512), False, None),  # a row of a table
        ("Conv", "T", (32, 4000, 1), False, 1),
        ("Conv", "T", (32, 1, 4000), False, 2),
        ("Conv", "T", (32, 400, 400), True, None),
        ("Conv", "T", (32, 1, 400, 1), True, None),
    ],
)
def test_what_looks_like_a_sound(
    name: str, length: str, shape: tuple[int, ...], free: bool, axis: int | None
) -> None:
    model = reader(name, length)
    assert sound_axis(model.graph.inputs[0], shape, free, value_flow(model)) == axis


def test_sounds_are_quiet_and_have_tones_and_pauses() -> None:
    found = sounds(64, 32_000, np.random.default_rng(0))
    assert found.shape == (64, 32_000)
    assert np.isfinite(found).all()
    assert 0.01 < found.std() < 0.3
    pieces = found.reshape(64, 40, 800).std(axis=2)
    assert (pieces.max(axis=1) > 10 * pieces.min(axis=1)).mean() > 0.7  # something happens
    peaks = np.abs(np.fft.rfft(found * np.hanning(32_000))) ** 2
    flatness = np.exp(np.log(peaks + 1e-30).mean(axis=1)) / peaks.mean(axis=1)
    assert np.median(flatness) < 0.05  # of white noise 0.56


def test_what_is_measured_varies_slowly_at_every_level() -> None:
    found = measured(200, 1000, np.random.default_rng(0))
    levels = found.std(axis=1)
    assert levels.min() < 0.01 < 0.5 < levels.max()
    rough = np.square(np.diff(found, axis=1)).mean(axis=1) / found.var(axis=1)
    assert np.median(rough) < 1.2  # two for white noise


def streaming(state: str = "before") -> onnx.ModelProto:
    """A network that hears pieces of a sound and hands its state on."""
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, T] sound, float[1, N, 16] {state}) => (float[N, 3] y, float[1, N, 16] next) {{
            one = Constant <value = int64[1] {{1}}> ()
            zero = Constant <value = int64[1] {{0}}> ()
            u = Unsqueeze (sound, one)
            c = Conv <strides = [32]> (u, filters)
            h = Relu (c)
            t = Transpose <perm = [2, 0, 1]> (h)
            all, next = GRU <hidden_size = 16> (t, w, r, , , {state})
            flat = Squeeze (next, zero)
            y = MatMul (flat, head)
        }}""")
    weights = {
        "filters": draw.standard_normal((12, 1, 64)) / 4,
        "w": draw.standard_normal((1, 48, 12)),
        "r": draw.standard_normal((1, 48, 16)) / 4,
        "head": draw.standard_normal((16, 3)),
    }
    named = ((a.astype(np.float32), n) for n, a in weights.items())
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for a, n in named)
    return model


def feeds_of(state: str) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {
        "sound": draw.standard_normal((4, 640)).astype(np.float32),
        state: draw.standard_normal((1, 4, 16)).astype(np.float32),
    }


@pytest.mark.parametrize("name", ["before", "h0"])
def test_a_state_is_known_by_who_reads_it(name: str) -> None:
    model = ir.from_proto(streaming(name))
    assert find_states(model, feeds_of(name), value_flow(model)) == {name: "next"}


def test_an_activation_is_no_state() -> None:
    model = ir.from_proto(
        onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 8] hidden_states, float[N, 8] time) => (float[N, 8] y) { y = Add (hidden_states, time) }""")
    )
    feeds = {n: np.ones((2, 8), np.float32) for n in ("hidden_states", "time")}
    assert find_states(model, feeds, value_flow(model)) == {}


def test_states_are_what_the_network_comes_to() -> None:
    model = ir.from_proto(streaming())
    feeds = carry(model, [feeds_of("before")] * (STEPS + 2), {"before": "next"})
    for first in (0, STEPS):
        assert not feeds[first]["before"].any()
    with open_session(model) as session:
        for number in (0, 1, STEPS):
            assert np.array_equal(feeds[number + 1]["before"], session.run(feeds[number])["next"])


def test_pieces_of_a_sound_go_on_where_states_are_carried() -> None:
    model = ir.from_proto(streaming())
    made = make_up(model, record(model), "auto", None, 0)
    assert made.how == "sounds, states that the model comes to"
    assert not made.feeds[0]["before"].any()
    assert made.feeds[1]["before"].any()
    again = make_up(model, record(model), "auto", None, 0)
    assert all(np.array_equal(a[n], b[n]) for a, b in zip(made.feeds, again.feeds, strict=True) for n in a)
    first, second = (made.feeds[k]["sound"] for k in (0, 1))
    steps = np.abs(second[:, 0] - first[:, -1]).mean()
    assert steps < 3 * np.abs(np.diff(first, axis=1)).mean() + 1e-3


def test_the_report_names_them() -> None:
    result = graphprune.prune(streaming(), 0.3)
    assert result.report["equivalence"]["status"] == "equal"
    assert any("(sounds, states that the model comes to)" in w for w in result.report["warnings"])


def test_a_lone_real_number_is_no_sound() -> None:
    model = ir.from_proto(
        onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, T] sound, float scale) => (float[N, T] y) { y = Mul (sound, scale) }""")
    )
    made = make_up(model, record(model), "auto", None, 0)
    assert made.how == "sounds, normal numbers"
    assert made.feeds[0]["scale"].shape == ()
