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
