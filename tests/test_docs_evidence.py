"""Pages that show evidence are true: examples run, keys and programs are named, tables have their baselines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.consumers import CONSUMERS
from graphprune.search.curve import Point

ROOT = Path(__file__).resolve().parent.parent


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize(("page", "place"), [("docs/verify.md", 0), ("docs/quality.md", 1)])
def test_python_example_runs(page: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(blocks(page)[place], page, "exec"), {})


def test_metric_example_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with np.load(ROOT / "models/data/fashion.npz") as data:
        pixels, labels = data["test_images"][:100], data["test_labels"][:100].astype(np.int64)
    np.save("test_images.npy", ((pixels[:, None].astype(np.float32) / 255) - 0.286) / 0.353)
    np.save("test_labels.npy", labels)
    (tmp_path / "quality.py").write_text(blocks("docs/quality.md")[0])
    ((value,),) = (
        [*v.values()] for v in graphprune.evaluate(ROOT / "models/vit.onnx", "quality.py:accuracy").values
    )
    assert 0.8 < value < 1
    by_labels = graphprune.evaluate(
        ROOT / "models/vit.onnx", labels="test_labels.npy", calib="test_images.npy"
    )
    assert by_labels.values[0]["top1"] == pytest.approx(value)


def test_every_key_is_described(small: onnx.ModelProto) -> None:
    verify, report = ((ROOT / f"docs/{page}.md").read_text() for page in ("verify", "report"))
    data = graphprune.verify(small, small, consumers=["ort-optimised"]).as_data()
    for key in (*data, *data["consumers"][0]):
        assert f"`{key}`" in verify, key
    found: Any = graphprune.prune(small, recipe="plain", min_fidelity="top1=0.3").report
    for key in (*found["quality"], *Point.__slots__, *found["curve"][0]):
        assert f"`{key}`" in report, key


def test_every_program_is_described() -> None:
    text = (ROOT / "docs/verify.md").read_text()
    assert all(f"`{name}`" in text for name in CONSUMERS)


@pytest.mark.parametrize("page", ["verify", "quality"])
def test_options_of_the_page_exist(page: str, cli: Any) -> None:
    known = {
        o for v in ("prune", "verify", "eval") for o in re.findall(r"--[a-z][a-z-]+", cli(v, "--help").out)
    }
    used = set(re.findall(r"--[a-z][a-z-]+", (ROOT / f"docs/{page}.md").read_text()))
    assert used
    assert used <= known


NAMED = ("random", "l1", "auto without repair", "auto")
BUNDLED = sorted(path.stem for path in (ROOT / "models").glob("*.onnx"))


def figures(model: str) -> tuple[str, dict[str, dict[str, str]]]:
    """What docs/accuracy.md says of the original, and its figures by method and share."""
    text = (ROOT / "docs/accuracy.md").read_text()
    made = text.partition("<!-- bundled: generated -->")[2].partition("<!-- end of bundled -->")[0]
    (part,) = (p for p in made.split("\n### ") if p.startswith(f"{model}\n"))
    (original,) = re.findall(r"of the original: (\S+)", part)
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    return original, {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


@pytest.mark.parametrize("model", BUNDLED)
def test_every_table_of_a_bundled_model_has_its_baselines(model: str) -> None:
    """The original, chance, a score of weights, the default and the default without its repair."""
    original, found = figures(model)
    assert 0 < float(original) <= 1
    assert set(NAMED) <= found.keys()
    assert len(found["auto"]) >= 3
    assert f"\n| {model} | " in (ROOT / "docs/bench.md").read_text()  # where latency was measured
    for method in NAMED:
        for share in ("50% removed", "70% removed"):
            assert 0 <= float(found[method][share]) <= 1, (method, share)


def test_a_report_has_the_latency_that_was_measured(small: onnx.ModelProto) -> None:
    found: Any = graphprune.prune(small, 0.5, recipe="plain", benchmark=True).report
    assert all(found[k]["latency_ms"] > 0 for k in ("before", "after"))
    assert found["timed_on"]
