"""A program is tried in a process of its own: whatever happens there is a sentence here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphprune.consumers import CONSUMERS, Consumer, choose_consumers, try_consumer
from graphprune.errors import UsageError
from graphprune.runtime.session import open_session
from tests.consumers import programs

BATCHES = [{"x": np.arange(16, dtype=np.float32).reshape(2, 8) / 8}, {"x": np.ones((3, 8), np.float32)}]


def consumer(run: Callable[..., Any], *needs: str) -> Consumer:
    return Consumer("program", "is tried", run, needs, "onnx")


def test_outputs_come_back(small_path: Path) -> None:
    trial = try_consumer(consumer(programs.right), small_path, BATCHES)
    assert (trial.status, trial.reason) == ("ok", "")
    with open_session(small_path) as session:
        for feeds, found in zip(BATCHES, trial.outputs, strict=True):
            np.testing.assert_array_equal(found["y"], session.run(feeds)["y"])


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (programs.refusing, "NotImplementedError: no Gemm here"),
        (programs.crashing, "it crashed (SIGSEGV)"),
        (programs.leaving, "it ended with exit code 7"),
        (programs.endless, "it took longer than 4 s"),
    ],
)
def test_whatever_goes_wrong_is_a_reason(
    run: Callable[..., Any], reason: str, small_path: Path, private_temp: Path
) -> None:
    trial = try_consumer(consumer(run), small_path, BATCHES, limit_s=4 if run is programs.endless else 60)
    assert (trial.status, trial.reason) == ("failed", reason)
    assert not list(private_temp.iterdir())


def test_missing_program_is_not_installed(small_path: Path) -> None:
    trial = try_consumer(consumer(programs.right, "no_such_module"), small_path, BATCHES)
    assert (trial.status, trial.reason) == ("not installed", "pip install no_such_module")


@pytest.mark.parametrize("name", CONSUMERS)
def test_every_program_runs_a_pruned_model(name: str, bundled: Callable[[str], Path]) -> None:
    """Those that are installed; a program's own gaps are its answer, but never a missing reason."""
    chosen = CONSUMERS[name]
    if chosen.missing:
        pytest.skip(f"{', '.join(chosen.missing)} not installed")
    path = bundled("densenet")
    batches = [
        {"image": np.random.default_rng(k).normal(size=(2, 1, 28, 28)).astype(np.float32)} for k in (0, 1)
    ]
    trial = try_consumer(chosen, path, batches)
    if name == "onnx2torch" and "torchvision" in trial.reason:
        pytest.skip(f"the installed torchvision is broken: {trial.reason}")
    assert (trial.status, trial.reason) == ("ok", "")
    with open_session(path) as session:
        expected = session.run(batches[1])["logits"]
    scale = np.abs(expected).max()
    assert np.abs(trial.outputs[1]["logits"] - expected).max() / scale < (1e-4 if chosen.exact else 0.25)


def test_names_are_chosen_by_comma() -> None:
    assert [c.name for c in choose_consumers("all")] == list(CONSUMERS)
    assert choose_consumers("none") == ()
    assert [c.name for c in choose_consumers(["onnxsim"])] == ["onnxsim"]
    with pytest.raises(UsageError, match="unknown consumer 'tflite': choose from openvino"):
        choose_consumers("openvino,tflite")
