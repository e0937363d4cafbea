"""What other programs make of a model, judged by numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphprune.consumers import Consumer
from graphprune.runtime.session import open_session
from graphprune.verification.trials import ConsumerResult, Reference, try_consumers
from tests.consumers import programs

BATCHES = [{"x": np.random.default_rng(3).normal(size=(5, 8)).astype(np.float32)}]


def tried(run: Callable[..., Any], path: Path, *, exact: bool = True) -> ConsumerResult:
    with open_session(path) as session:
        reference = Reference(path, [session.run(b) for b in BATCHES], 0.0)
    consumer = Consumer("program", "is tried", run, (), "onnx", exact)
    (found,) = try_consumers([consumer], reference, reference, BATCHES, 60)
    return found


def test_the_same_outputs_are_ok(small_path: Path) -> None:
    found = tried(programs.right, small_path)
    assert (found.status, found.error, found.allowed, found.original) == ("ok", 0.0, 1e-3, "")


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (programs.shifted, 'output "y" differs by '),
        (programs.silent, 'output "y" holds values that are not finite'),
        (programs.refusing, "NotImplementedError: no Gemm here"),
    ],
)
def test_a_failure_is_tried_on_the_original_too(
    run: Callable[..., Any], reason: str, small_path: Path
) -> None:
    found = tried(run, small_path)
    assert (found.status, found.original) == ("failed", "fails too")
    assert found.reason.startswith(reason)


def test_what_quantises_need_not_give_the_same(small_path: Path) -> None:
    found = tried(programs.shifted, small_path, exact=False)
    assert (found.status, found.allowed) == ("ok", None)
    assert 0 < found.fidelity[0].relative_error < 1
