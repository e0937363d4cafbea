"""The trained models after other tools have rewritten them: the same groups, and equal when cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest

from graphprune.testing import canonical_groups, prune_at_random

MODELS = Path(__file__).resolve().parents[2] / "models"
NAMES = sorted(json.loads((MODELS / "models.json").read_text()))
# These store a tied weight once for each use, so that more elements belong to the same groups.
STORED_TWICE = {("textformer", "onnxsim")}


def _slim(model: onnx.ModelProto) -> onnx.ModelProto:
    onnxslim = pytest.importorskip("onnxslim", reason="needs onnxslim: pip install --group rewriters")
    return onnxslim.slim(model)  # type: ignore[no-any-return]


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    onnxsim = pytest.importorskip("onnxsim", reason="needs onnxsim: pip install --group rewriters")
    return onnxsim.simplify(model)[0]  # type: ignore[no-any-return]


TOOLS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {"onnxslim": _slim, "onnxsim": _simplified}


@cache
def groups(name: str) -> Counter[tuple[str, int, int, bool]]:
    return canonical_groups(prune_at_random(str(MODELS / f"{name}.onnx")).analysis)


@pytest.mark.filterwarnings("default")  # the tools' own
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", NAMES)
def test_same_groups_and_equal_to_the_masked_original(name: str, tool: str) -> None:
    rewritten = TOOLS[tool](onnx.load(MODELS / f"{name}.onnx"))
    outcome = prune_at_random(rewritten)
    found: Counter[Any] = canonical_groups(outcome.analysis)
    expected: Counter[Any] = groups(name)
    if (name, tool) in STORED_TWICE:
        assert sum(n for *_, n, _ in found.elements()) > sum(n for *_, n, _ in expected.elements())
        found, expected = (Counter((k, s, e) for k, s, _, e in all_.elements()) for all_ in (found, expected))
    assert found == expected
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 0.1, "masking has to move the outputs, or equality proves nothing"
