"""The records of the zoo: kept line by line, so that runs on several machines can be merged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools" / "zoo"))

from coverage_table import page
from records import Records

_EQUAL: dict[str, Any] = {
    "status": "equal",
    "params_removed": 0.4567,
    "macs_removed": 0.5,
    "seconds": 1.2345,
    "analyse_s": 0.01,
    "nodes": 7,
    "reached": {"exact": 0.9, "any": 1.0},
    "cut": 2,
    "not_cut": {"frozen: reaches graph output": 1},
    "change": 0.5,
    "day": "2026-11-26",
    "note": None,
}


def test_one_machine_goes_on_where_another_stopped(tmp_path: Path) -> None:
    Records(tmp_path).add("zoo/a.dynamo.onnx", _EQUAL)
    Records(tmp_path).add("zoo-default/a.dynamo.onnx", _EQUAL)
    found = Records(tmp_path)
    found.add("zoo/b.dynamo.onnx", {**_EQUAL, "cut": 3})
    assert list(Records(tmp_path)) == ["zoo-default/a.dynamo.onnx", "zoo/a.dynamo.onnx", "zoo/b.dynamo.onnx"]
    found.forget("zoo-default/a.dynamo.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["zoo.json"]


def test_a_record_is_a_short_line(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for name in ("zoo/b.onnx", "zoo/a.onnx"):
        records.add(name, _EQUAL)
    lines = (tmp_path / "zoo.json").read_text().splitlines()
    assert [line[:12] for line in lines] == ["{", '"zoo/a.onnx"', '"zoo/b.onnx"', "}"]
    assert json.loads("\n".join(lines))["zoo/a.onnx"]["params_removed"] == 0.457
    assert "note" not in lines[1]


@pytest.mark.parametrize(
    "failed", [{"status": "failed", "why": "ended"}, {"status": "different", "output": "y", "error": 0.25}]
)
def test_the_page_shows_what_failed_and_what_others_do(failed: dict[str, Any]) -> None:
    found = {
        "zoo/a.torchscript.onnx": _EQUAL,
        "zoo/b.torchscript.onnx": {"seconds": 1.0, **failed},
        "torch-pruning/a": {"version": "1.6.1", "status": "works", "removed": 0.7},
        "onnxsim/a.torchscript.onnx": {"status": "fails", "why": "IndexError when pruning channels"},
    }
    text = page(found)
    assert "| zoo/a.torchscript.onnx | 7 | 2 | 90% / 100% | 46% |" in text
    assert "| 70% | fails |" in text
    assert f"| zoo/b.torchscript.onnx | {failed['status']} | {failed.get('why', 'output `y`')}" in text
    assert "| torch-pruning 1.6.1 | 1 | 1 | 1 | 70% | 1 of 1 |" in text
