"""All that bundled models can be tested on: the committed part is among it."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("task", ["passages", "fashion", "source"])
def test_more_of_the_same_kind(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    tasks = importlib.import_module("models.evaluate").TASKS
    complete = importlib.import_module("models.train.complete").complete
    if task == "fashion":
        try:
            importlib.import_module("models.train.sources").fashion("t10k")
        except FileNotFoundError:
            pytest.skip("Fashion-MNIST is not at hand")
    found, part = complete(task), tasks[task].load("test")
    assert len(found.answers) > len(part.answers)
    for name, array in part.inputs.items():
        more = found.inputs[name]
        assert more.dtype == array.dtype
        assert more.shape[1:] == array.shape[1:]
    if task == "fashion":
        np.testing.assert_array_equal(found.inputs["image"][: len(part.answers)], part.inputs["image"])
        np.testing.assert_array_equal(found.answers[: len(part.answers)], part.answers)
    if task == "passages" and sys.version_info[:3] == (3, 11, 7):  # the library that the part is from
        all_of_them = {
            (*row, label) for row, label in zip(found.inputs["tokens"], found.answers, strict=True)
        }
        assert {(*r, a) for r, a in zip(part.inputs["tokens"], part.answers, strict=True)} <= all_of_them
