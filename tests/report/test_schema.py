"""Reports and plans of real runs are what their schemas say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import graphprune

DOCS = Path(__file__).resolve().parents[2] / "docs"
RUNS: dict[str, dict[str, Any]] = {
    "ratio": {"ratio": 0.5},
    "weights only": {"ratio": 0.5, "recipe": "plain"},
    "targets": {"target": ["macs=0.6", "size=1MB"]},
    "calibrated": {"ratio": 0.5, "calib": {"x": np.ones((80, 8), np.float32)}},
    "own ratios": {"ratio": 0.5, "ratios": {"first*": 0.2}, "exclude": ["last*"]},
    "dry run": {"ratio": 0.5, "dry_run": True},
    "unchecked": {"ratio": 0.5, "verify": False},
    "timed": {"ratio": 0.5, "benchmark": True},
    "random scores": {"ratio": 0.5, "criterion": "random"},
}


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Checks against a schema of docs/."""
    schema = json.loads((DOCS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(result: graphprune.Result) -> None:
    """As JSON text and back, both are valid."""
    validator("report").validate(json.loads(json.dumps(result.report, allow_nan=False)))
    validator("plan").validate(json.loads(result.plan.to_json()))


@pytest.mark.parametrize("run", RUNS)
def test_small_net(run: str, small: onnx.ModelProto) -> None:
    check(graphprune.prune(small, **RUNS[run]))


@pytest.mark.parametrize("model", ["vit", "densenet", "bilstm"])
def test_bundled(model: str, bundled: Callable[[str], Path]) -> None:
    check(graphprune.prune(bundled(model), ratio=0.5, recipe="plain"))


def test_applied_plan(small: onnx.ModelProto) -> None:
    plan = graphprune.prune(small, ratio=0.5, dry_run=True).plan
    applied = graphprune.apply(plan, small)
    check(applied)
    assert applied.report["groups"][0]["sensitivity"] is not None


def test_command_line(cli: Any, small_path: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    done = cli(small_path, "--quiet", "--json", "-", "--plan", plan)
    report = json.loads(done.out)
    validator("report").validate(report)
    validator("plan").validate(json.loads(plan.read_text()))
    assert report["command"] == f"graphprune {small_path} --quiet --json - --plan {plan}"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "1 was expected"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"before": {"params": -1}}, "is a required property|minimum"),
    ],
)
def test_the_schema_can_fail(change: dict[str, Any], complaint: str, small: onnx.ModelProto) -> None:
    report = json.loads(json.dumps(graphprune.prune(small, ratio=0.5, recipe="plain").report)) | change
    with pytest.raises(jsonschema.ValidationError, match=complaint):
        validator("report").validate(report)
