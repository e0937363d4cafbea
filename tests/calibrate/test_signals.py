"""Sequences made up for models that come without inputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import graphprune
from graphprune.calibrate.signals import signals, slow_axes


def roughness(array: np.ndarray, axis: int) -> float:
    """Mean squared step along an axis beside the variance; two for white noise."""
    return float(np.square(np.diff(array, axis=axis)).mean() / array.var(axis=axis).mean())


@pytest.mark.parametrize(
    ("shape", "samples", "axes"),
    [
        ((32, 28, 28), 32, (1, 2)),
        ((32, 28, 4), 32, (1,)),
        ((32, 1, 4000), 32, (2,)),
        ((2, 32, 64), 32, ()),  # a state: its samples do not come first
        ((1, 1, 64), 1, ()),  # a state as well
        ((1, 50, 64), 1, (1, 2)),
        ((32, 28), 32, ()),
        ((32, 3, 28, 28), 32, ()),
    ],
)
def test_what_may_be_time(shape: tuple[int, ...], samples: int, axes: tuple[int, ...]) -> None:
    assert slow_axes(shape, samples) == axes


@pytest.mark.parametrize("turn", range(4))
def test_they_vary_slowly_along_one_axis_or_both(turn: int) -> None:
    found = signals((200, 40, 24), (1, 2), np.random.default_rng(0), turn)
    assert found.shape == (200, 40, 24)
    assert 0.5 < found.std() < 2
    assert abs(found.mean()) < 0.7
    slow = {axis for axis in (1, 2) if roughness(found, axis) < 1.2}
    assert slow == ({1, 2} if turn % 2 == 0 else {1 + turn // 2})


def test_the_only_long_axis_is_slow_every_time() -> None:
    for turn in range(4):
        found = signals((100, 3, 500), (2,), np.random.default_rng(turn), turn)
        assert found.shape == (100, 3, 500)
        assert roughness(found, 2) < 1.2


def recurrent() -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 20, 12] x) => (float[N, 5] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            all, last = GRU <hidden_size = 16> (t, w, r)
            flat = Squeeze (last, axes)
            y = MatMul (flat, head)
        }""")
    weights = {
        "w": draw.standard_normal((1, 48, 12)).astype(np.float32) / 4,
        "r": draw.standard_normal((1, 48, 16)).astype(np.float32) / 4,
        "axes": np.array([0]),
        "head": draw.standard_normal((16, 5)).astype(np.float32),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in weights.items())
    return model


def test_the_report_names_them() -> None:
    result = graphprune.prune(recurrent(), 0.5)
    assert result.report["equivalence"]["status"] == "equal"
    assert any("(sequences that vary slowly)" in w for w in result.report["warnings"])
