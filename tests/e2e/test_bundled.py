"""The trained models of this repository, end to end: pruned, verified, measured, planned and repeated."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

import graphprune

MODELS = Path(__file__).resolve().parent.parent.parent / "models"
INDEX = json.loads((MODELS / "models.json").read_text())
NAMES = sorted(INDEX)


@pytest.fixture(scope="module")
def evaluate() -> Callable[[Path], dict[str, Any]]:
    """`evaluate(path)` of models/evaluate.py."""
    spec = importlib.util.spec_from_file_location("evaluate_models", MODELS / "evaluate.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules["evaluate_models"] = module
    spec.loader.exec_module(module)
    return module.evaluate  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
def test_pruned_model_equals_the_masked_one(name: str, ratio: float, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    report = graphprune.prune(MODELS / INDEX[name]["file"], ratio=ratio, recipe="plain", output=out).report
    assert report["equivalence"]["status"] == "equal"
    assert report["equivalence"]["change"] > 1e-2
    assert report["after"]["params"] < (1 - 0.5 * ratio) * report["before"]["params"]
    assert report["after"]["size_bytes"] == out.stat().st_size < report["before"]["size_bytes"]
    for group in report["groups"]:
        assert group["after"] == group["before"] - int(group["before"] * ratio + 1e-9)
    onnx.checker.check_model(out, full_check=True)


@pytest.mark.parametrize("name", NAMES)
def test_pruned_model_can_be_evaluated(name: str, tmp_path: Path, evaluate: Any) -> None:
    """The task survives in the metadata, and the measure is a share; gentle pruning keeps some of it."""
    graphprune.prune(
        MODELS / INDEX[name]["file"], ratio=0.1, recipe="plain", output=tmp_path / "out.onnx", verify=False
    )
    found = evaluate(tmp_path / "out.onnx")
    assert found["task"] == INDEX[name]["task"]
    assert found["metric"] == INDEX[name]["metric"]
    assert 0.15 < found["value"] <= INDEX[name]["value"] + 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_index_is_true(name: str, evaluate: Any) -> None:
    found = evaluate(MODELS / INDEX[name]["file"])
    assert found["value"] == pytest.approx(INDEX[name]["value"], abs=0.005)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("allocation", ["uniform", "global"])
@pytest.mark.parametrize("target", ["macs=0.5", "params=0.6", "size=0.55", "macs=0.7,params=0.4"])
def test_target_is_met_within_one_step(name: str, allocation: str, target: str) -> None:
    """Never more than asked for is left, and putting one slot of a group back would be too much somewhere."""
    result = graphprune.prune(
        MODELS / INDEX[name]["file"], target=target, allocation=allocation, min_keep=0.02, verify=False
    )
    before, after = result.report["before"], result.report["after"]
    shares = {
        "macs": after["macs"] / before["macs"],
        "params": after["params"] / before["params"],
        "size": after["size_bytes"] / before["size_bytes"],
    }
    parts = {k: float(v) for k, v in (part.split("=") for part in target.split(","))}
    assert all(shares[k] <= limit + 1e-9 for k, limit in parts.items() if k != "size")
    assert shares.get("size", 0) <= parts.get("size", 1) + 0.01, "what is not weights is only estimated"
    # One step of the allocation gives every group at most one slot back.
    step = max(1 / group["before"] for group in result.report["groups"])
    assert any(shares[k] >= limit - 2.5 * step for k, limit in parts.items())


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, ("--recipe", "auto", "--compensation", "refit")) for name in NAMES),
        *(pytest.param(name, (), marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_plan_repeats_byte_by_byte(name: str, how: tuple[str, ...], tmp_path: Path, cli: Any) -> None:
    model, plan = MODELS / INDEX[name]["file"], tmp_path / "plan.json"
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    assert cli(model, "--ratio", 0.4, *how, "-o", first, "--plan", plan, "--no-benchmark", "-q").code == 0
    assert cli("apply", plan, model, "-o", second, "--no-benchmark", "-q").code == 0
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_pruning_a_pruned_model(name: str) -> None:
    once = graphprune.prune(MODELS / INDEX[name]["file"], ratio=0.3, recipe="plain", verify=False)
    twice = graphprune.prune(once.model, ratio=0.3, recipe="plain")
    assert twice.report["equivalence"]["status"] == "equal"
    # What the first run added to the graph (shape constants) counts in the second.
    assert twice.report["before"]["params"] == pytest.approx(once.report["after"]["params"], rel=2e-3)
    assert [g["key"] for g in twice.report["groups"]] == [g["key"] for g in once.report["groups"]]
