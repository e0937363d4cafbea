"""What can be read only once, goes on for ever, or fails on the way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.calibrate import Held, hold
from graphprune.errors import CalibrationError

X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)


def prune(perceptron: onnx.ModelProto, calib: Any, **options: Any) -> Any:
    return graphprune.prune(perceptron, 0.5, calib=calib, recipe="auto", verify=False, **options).report


def read(report: Any) -> int:
    return int(report["method"]["calibration"]["samples"])


def hook(folder: Path, body: str) -> str:
    (folder / "h.py").write_text(
        f"import numpy as np\nX = np.ones((40, 6), 'float32')\ndef f():\n    {body}\n"
    )
    return f"{folder / 'h.py'}:f"


def test_a_loader_without_an_end(perceptron: onnx.ModelProto, tmp_path: Path) -> None:
    endless = (X[:32] for _ in itertools.count())
    assert read(prune(perceptron, endless, calib_samples=70)) == 70
    text = hook(tmp_path, "while True: yield X")
    assert read(prune(perceptron, text, calib_samples=70)) == 70


def test_no_more_is_read_than_is_used(perceptron: onnx.ModelProto) -> None:
    taken = []

    def loader() -> Iterator[Any]:
        for k in range(0, 64, 16):
            taken.append(k)
            yield X[k : k + 16], np.zeros(16)

    prune(perceptron, loader(), calib_samples=20)
    assert taken == [0, 16]


@pytest.mark.parametrize(
    "body", ["return {'x': X}", "return X", "return [X[:32], X[32:]]", "return iter(X)", "return range(0)"]
)
def test_what_a_function_may_return(perceptron: onnx.ModelProto, tmp_path: Path, body: str) -> None:
    text = hook(tmp_path, body)
    if "range" in body:
        with pytest.raises(CalibrationError, match="holds no calibration inputs"):
            prune(perceptron, text)
    else:
        assert read(prune(perceptron, text)) == 40


@pytest.mark.parametrize("body", ["return None", "return 'inputs.npz'", "return 3"])
def test_what_a_function_may_not_return(tmp_path: Path, body: str) -> None:
    with pytest.raises(CalibrationError, match=r"h.py:f gives a \w+: yield feeds"):
        hold(hook(tmp_path, body))


class Failing:
    def __iter__(self) -> Iterator[Any]:
        yield X[:32]
        raise RuntimeError("the disk is gone")


@pytest.mark.parametrize("once", [True, False])
def test_a_loader_that_fails(perceptron: onnx.ModelProto, once: bool) -> None:
    loader = iter(Failing()) if once else Failing()
    with pytest.raises(CalibrationError, match=r"^an iterable failed: RuntimeError: the disk is gone$"):
        prune(perceptron, loader)


def test_a_function_that_fails(perceptron: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"h.py:f failed: OSError: gone$"):
        prune(perceptron, hook(tmp_path, "yield X; raise OSError('gone')"))
    with pytest.raises(CalibrationError, match=r"h.py:f failed: OSError: gone$"):
        prune(perceptron, hook(tmp_path, "raise OSError('gone')"))


def test_what_was_read_is_there_again_and_so_is_the_error() -> None:
    held = hold(iter(Failing()))
    assert isinstance(held, Held)
    for _ in range(2):
        entries = iter(held.entries)
        np.testing.assert_array_equal(next(entries), X[:32])
        with pytest.raises(CalibrationError, match="the disk is gone"):
            next(entries)
