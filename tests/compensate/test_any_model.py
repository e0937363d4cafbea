"""The default recipe on every hand-made graph: whatever its form, the result is verified and nothing breaks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import graphprune

ROOT = Path(__file__).resolve().parents[2]


def handmade() -> Any:
    spec = importlib.util.spec_from_file_location("handmade_graphs", ROOT / "models/handmade.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.HANDMADE


HANDMADE = handmade()


@pytest.mark.parametrize("name", sorted(set(HANDMADE) - {"shape_arithmetic"}))
def test_default_recipe(name: str) -> None:
    result = graphprune.prune(HANDMADE[name](), 0.5, calib="noise", calib_samples=32)
    assert result.report["equivalence"]["status"] == "equal"
    assert result.report["method"]["recipe"] == "auto"
    assert result.report["after"]["params"] < result.report["before"]["params"]


def test_what_cannot_be_followed_is_cut_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for activations, so a fault in following them costs accuracy, not the result."""

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("some tensor")

    monkeypatch.setattr("graphprune.inputs.CompensationProblem", broken)
    model = HANDMADE["residual_add"]()
    report = graphprune.prune(model, 0.5, calib="noise", calib_samples=8).report
    assert report["equivalence"]["status"] == "equal"
    assert report["method"]["recipe"] == "plain"
    assert any("some tensor" in w for w in report["warnings"])
    with pytest.raises(KeyError):
        graphprune.prune(model, 0.5, recipe="auto", calib="noise", calib_samples=8)
