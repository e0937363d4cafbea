"""`graphprune bench` and `graphprune.bench`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.benchmark.child import peak_bytes
from graphprune.benchmark.fresh import measure_fresh
from graphprune.errors import ModelError, UsageError
from tests.conftest import ROOT, small_net

QUICK = ("--runs", 6, "--seconds", 2, "--threads", 1)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """A small net, and one with half the width."""
    files = [tmp_path / "wide.onnx", tmp_path / "narrow.onnx"]
    for file, width in zip(files, (12, 6), strict=True):
        onnx.save(small_net(width), file)
    return files


def test_everything_at_once(cli: Any, two: list[Path]) -> None:
    done = cli("bench", *two, "--batch", "1,4", *QUICK, "--json", "-", "--quiet")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert [p["batch"] for p in data["points"]] == [1, 4]
    assert [p["shapes"] for p in data["points"]] == [{"x": [1, 8]}, {"x": [4, 8]}]
    for point in data["points"]:
        (ratio,) = point["ratios"]
        assert ratio["macs_ratio"] == pytest.approx((8 * 12 + 12 * 10 + 40) / (8 * 6 + 6 * 10 + 40))
        assert ratio["low"] <= ratio["speedup"] <= ratio["high"]
        assert ratio["share"] == pytest.approx(ratio["speedup"] / ratio["macs_ratio"])
        for found in point["latency"]:
            assert 0 < found["p50_ms"] <= found["p90_ms"]
            assert found["per_second"] == pytest.approx(1e3 * point["batch"] / found["p50_ms"])
    for model, path in zip(data["models"], two, strict=True):
        assert model["path"] == str(path)
        assert model["size_bytes"] == path.stat().st_size
        assert model["load_ms"] > 0
        assert model["peak_bytes"] > model["model_bytes"] > 0
    assert len(data["profiles"]) == 2
    assert {o["op"] for o in data["profiles"][0]["operators"]} >= {"MatMul"}
    assert len(data["comparisons"][0]["layers"]) == 3


def test_on_screen(cli: Any, two: list[Path]) -> None:
    done = cli("bench", *two, *QUICK)
    assert done.code == 0
    for text in ("A  wide.onnx", "B  narrow.onnx", "speed-up", "reached", "time in", "between kernels"):
        assert text in done.out
    assert [line.split()[0] for line in done.err.splitlines()] == ["load", "time", "memory", "profile"]


def test_one_model_has_nothing_to_be_compared_with(cli: Any, small_path: Path) -> None:
    done = cli("bench", small_path, *QUICK, "--no-memory", "--no-profile", "--json", "-")
    data = json.loads(done.out)
    assert data["points"][0]["ratios"] == data["comparisons"] == data["profiles"] == []
    assert data["models"][0]["peak_bytes"] is None


def test_providers_are_listed(cli: Any) -> None:
    done = cli("bench", "--providers")
    assert done.code == 0
    assert re.search(r"^cpu .*installed *$", done.out, re.MULTILINE)
    assert "onnxruntime-openvino" in done.out


def test_the_library_prints_nothing(two: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    data = graphprune.bench(*two, batch=2, threads=1, runs=2, cpu_time=True, progress=told.append)
    assert told[:2] == ["load", "time"]
    assert (data["format"], data["clock"]) == (1, "cpu")
    json.dumps(data)
    assert capfd.readouterr() == ("", "")


def test_documented_keys(two: list[Path]) -> None:
    text = (ROOT / "docs/bench_format.md").read_text()
    data = graphprune.bench(*two, threads=1, runs=2)
    first = [data[k][0] for k in ("models", "points", "profiles", "comparisons")]
    inner = (
        first[1]["latency"][0],
        first[1]["ratios"][0],
        first[2]["operators"][0],
        first[2]["kernels"][0],
        first[3]["layers"][0],
        first[3]["rounding"],
    )
    for key in (k for part in (data, *first, *inner) for k in part):
        assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give at least one model"),
        (["{0}", "--batch", "0"], "cannot read the batch sizes '0'"),
        (["{0}", "--shape", "x"], "cannot read the shape 'x'"),
        (["{0}", "--cpu-time"], "--cpu-time needs --threads 1"),
        (["{0}", "--runs", "0"], "must be above 0"),
        (["{0}", "--provider", "abacus"], "unknown execution provider 'abacus'"),
        (["{0}", "--optimise", "most"], "unknown optimisation level 'most'"),
        (["{0}", "--threads", "0"], "number of threads must be at least 1"),
        (["nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_mistakes_are_one_sentence(cli: Any, small_path: Path, arguments: list[str], complaint: str) -> None:
    done = cli("bench", *(a.format(small_path) for a in arguments))
    assert done.code == 2
    assert complaint in done.complaint
    assert "Traceback" not in done.err


def test_models_of_other_inputs(two: list[Path], bundled: Any) -> None:
    with pytest.raises(UsageError, match=r"does not take the inputs of .*wide\.onnx"):
        graphprune.bench(two[0], bundled("vit"), runs=1)


def test_a_process_of_its_own_tells_why_it_failed(small_path: Path) -> None:
    with pytest.raises(ModelError, match=r"in a process of its own: .*x"):
        measure_fresh(small_path, {"x": np.ones((1, 3), np.float32)}, "cpu", 1)


def test_peak_memory_grows(tmp_path: Path) -> None:
    before = peak_bytes()
    if before is None:
        pytest.skip("this system does not tell")
    block = np.ones(before // 4 + (64 << 20), np.uint8)
    after = peak_bytes()
    assert after is not None
    assert after > before
    del block
