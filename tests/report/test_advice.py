"""What to do now: every finding has its sentence, and nothing is said that was not found."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

import graphprune
from graphprune.report.advice import advice

WIDTH = {
    "key": "token[2]",
    "kind": "channels",
    "size": 96,
    "params": 90,
    "reason": "approximate: normalised over by X (--structures residual to cut it)",
}


def report(**changes: Any) -> dict[str, Any]:
    """A report of which nothing is to be said, with changes."""
    return {
        "asked": {"targets": ["macs=0.5"], "round_to": 1},
        "before": {"params": 100, "macs": 1000, "latency_ms": 2.0},
        "after": {"params": 50, "macs": 500, "latency_ms": 1.0},
        "method": {"calibration": {"source": "x.npz", "samples": 512, "synthetic": False}},
        "groups": [{"kind": "channels"}, {"kind": "heads"}],
        "not_cut": [],
        "equivalence": {"status": "equal", "note": ""},
        "fidelity": [{"output": "y", "cosine": 0.999, "relative_error": 0.02, "top1": 0.99}],
        "judged_on": "calibration inputs kept aside",
        "dry_run": False,
        "output": "small.onnx",
    } | changes


def said(**changes: Any) -> str:
    """All advice on a report as one text."""
    return "\n".join(f"{a.found} {a.do} {a.options}" for a in advice(report(**changes)))


def test_nothing_but_to_use_it() -> None:
    (only,) = advice(report())
    assert only.do.startswith("Use “small.onnx” in its place")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dry_run": True, "output": None}, "Run the same command without `--dry-run`"),
        ({"equivalence": {"status": "not checked", "note": "--no-verify"}}, "Run again without `--no-verify`"),
        ({"equivalence": {"status": "not checked", "note": "no memory"}}, "no memory. Compare the outputs"),
        ({"method": {"calibration": None}}, "only weights decided"),
        ({"method": {"calibration": {"synthetic": True}}}, "made up"),
        (
            {
                "method": {"calibration": {"synthetic": True}},
                "judged_on": "the calibration inputs, which nothing was learnt from",
            },
            "yours were only used to judge the result. Choose another recipe to learn from yours. --recipe auto",
        ),
        ({"fidelity": [{"output": "y", "cosine": 0.9, "relative_error": 0.4, "top1": None}]}, "--target macs=0.75"),
        ({"fidelity": [{"output": "y", "cosine": 0.9, "relative_error": 0.4, "top1": 0.5}]}, "in 50% of rows"),
        ({"after": {"params": 50, "macs": 500, "latency_ms": 1.9}}, "1.05 × as fast with 2.00 × fewer multiply-adds"),
        ({"after": {"params": 50, "macs": 500, "latency_ms": 1.9}}, "--round-to auto"),
        ({"not_cut": [WIDTH]}, "--structures channels,heads,residual"),
    ],
)  # fmt: skip
def test_findings(changes: dict[str, Any], expected: str) -> None:
    assert expected in said(**changes)
    assert expected not in said()


def test_milder_ratio() -> None:
    worst = [{"output": "y", "cosine": 0.5, "relative_error": 1.0, "top1": 0.1}]
    assert "--ratio 0.2" in said(fidelity=worst, asked={"ratio": 0.4, "targets": []})
    counted = {"targets": ["params=1.2M"]}
    assert "--target" not in said(fidelity=worst, asked=counted)
    assert "Cut less" in said(fidelity=worst, asked=counted)


def test_random_inputs_are_no_judge() -> None:
    worst = [{"output": "y", "cosine": 0.5, "relative_error": 1.0, "top1": 0.1}]
    text = said(fidelity=worst, judged_on="random inputs", method={"calibration": None})
    assert "says little about yours" in text
    assert "--calib inputs.npz" in text
    assert "Cut less" not in text


def test_rounded_already() -> None:
    slow = {"params": 50, "macs": 500, "latency_ms": 1.9}
    text = said(after=slow, asked={"targets": ["macs=0.5"], "round_to": 16})
    assert "graphprune bench" in text
    assert "--round-to auto" not in text


def test_a_small_width_is_not_worth_a_word() -> None:
    assert "residual" not in said(not_cut=[{**WIDTH, "params": 5}])


def test_of_a_real_run(small: onnx.ModelProto) -> None:
    found = advice(graphprune.prune(small, ratio=0.5, recipe="plain").report)
    assert [a.options for a in found] == ["--calib inputs.npz", ""]
