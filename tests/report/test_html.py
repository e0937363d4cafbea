"""The page of a report, as text: what it says, that it is closed to the outside, and that names cannot break it."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphprune
from graphprune.errors import UsageError
from graphprune.report.html import render

EVIL = '<script>alert("1")</script>{{ 7 * 7 }}"\'><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A report of a bundled model that was really cut and timed."""
    vit = Path(__file__).resolve().parents[2] / "models" / "vit.onnx"
    found = graphprune.prune(vit, ratio=0.5, recipe="plain", benchmark=True).report
    return dict(json.loads(json.dumps(found)))


@pytest.fixture(scope="module")
def page(report: dict[str, Any]) -> str:
    """Its page."""
    return render(report)


def words(page: str) -> str:
    """What a page says, without its code."""
    body = re.sub(r"<(style|script|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def test_says_the_figures(page: str, report: dict[str, Any]) -> None:
    text = words(page)
    assert "Proved: it is the original with the removed weights at zero" in text
    assert f"{report['before']['macs'] / report['after']['macs']:.2f}×" in text
    for section in ("What to do now", "Asked and reached", "The network", "What was cut", "What was not cut"):
        assert section in text
    for row in (*report["groups"], *report["layers"]):
        assert row.get("key", row.get("name")) in text
    assert report["environment"]["packages"]["onnx"] in text


def test_draws_every_chart_for_both_widths(page: str) -> None:
    assert page.count("<svg") == page.count("</svg>") == 2 * 3  # network, sensitivity, latency
    assert page.count('class="chart wide"') == page.count('class="chart narrow"') == 3


def test_every_layer_is_in_the_picture(page: str, report: dict[str, Any]) -> None:
    for number, row in enumerate(report["layers"], start=1):
        if row["before"]["width"]:
            assert f"{number}. {row['name']} ({row['op']}): width {row['before']['width']}" in page


def test_a_long_network(report: dict[str, Any]) -> None:
    """Its tables are folded, and its page stays of a size that opens at once."""
    layers = [{**row, "name": f"{row['name']}_{n}"} for n in range(20) for row in report["layers"]]
    groups = [{**row, "key": f"{row['key']}_{n}"} for n in range(20) for row in report["groups"]]
    page = render({**report, "layers": layers, "groups": groups})
    assert "<details>" in page
    assert "<details open>" not in page
    assert len(page) < 2_000_000


def test_nothing_comes_from_outside(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    links = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"'>\s)]+)""", page)
    assert set(links) <= {"data:,"}
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_is_small(page: str) -> None:
    assert len(page) < 400_000


def evil(report: Any) -> Any:
    """A report in which every text of the model holds code."""
    if isinstance(report, dict):
        names = (
            "name",
            "key",
            "model",
            "output",
            "node",
            "reason",
            "source",
            "note",
            "command",
            "cpu",
            "op",
            "kind",
        )
        return {k: EVIL if k in names and v and isinstance(v, str) else evil(v) for k, v in report.items()}
    return [evil(v) for v in report] if isinstance(report, list) else report


def test_names_cannot_break_out(report: dict[str, Any]) -> None:
    broken = evil(report) | {"warnings": [EVIL], "judged_on": EVIL}
    broken["asked"] = {**broken["asked"], "recipe": EVIL, "only": [EVIL]}
    page = render(broken)
    assert page.count("<script") == page.count("</script>") == 1
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert words(page).count(EVIL) > 10


def test_names_in_a_model(small: onnx.ModelProto) -> None:
    """The same by way of a model whose nodes are called so."""
    for node in small.graph.node:
        node.name = f"{EVIL}{node.output[0]}"
    page = render(graphprune.prune(small, ratio=0.5, recipe="plain").report)
    assert page.count("<script") == 1
    assert EVIL in words(page)


SPARSE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no latency": lambda r: [r[w].update(latency_ms=None) for w in ("before", "after")],
    "no size": lambda r: r["after"].update(size_bytes=None),
    "no agreement": lambda r: r.update(fidelity=[]),
    "not checked": lambda r: r["equivalence"].update(status="not checked", note="--no-verify"),
    "nothing left alone": lambda r: r.update(not_cut=[]),
    "no scores": lambda r: [g.update(sensitivity=None) for g in r["groups"]],
    "no layers": lambda r: r.update(layers=[]),
    "older": lambda r: [r.pop("layers"), r.pop("command"), [g.pop("sensitivity") for g in r["groups"]]],
    "dry run": lambda r: r.update(dry_run=True, output=None),
    "no model path": lambda r: r.update(model=None, output=None, command=None),
    "applied plan": lambda r: r["method"].update(recipe=None, parts={}),
    "an output without classes": lambda r: r["fidelity"][0].update(top1=None),
    "target of another version": lambda r: r["asked"].update(targets=["joy=3"]),
}


@pytest.mark.parametrize("case", SPARSE)
def test_missing_parts(case: str, report: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(report))
    SPARSE[case](changed)
    text = words(render(changed))
    assert "What to do now" in text
    assert "None" not in text


def test_targets_are_kept_or_missed(report: dict[str, Any]) -> None:
    report = {**report, "asked": {**report["asked"], "targets": ["macs=0.9", "params=1"]}}
    report["asked"]["targets"][1] = "params=1K"
    text = words(render(report))
    assert "target macs=0.9 kept:" in text
    assert "target params=1K missed:" in text


def test_curve(report: dict[str, Any]) -> None:
    points = [
        {"share": share, "macs": 100, "quality": quality, "good": quality > 0.8}
        for share, quality in ((1.0, 0.9), (0.5, 0.88), (0.3, 0.7))
    ]
    found = {
        "measure": "accuracy",
        "asked": "max-drop 5%",
        "minimised": "params",
        "original": 0.9,
        "pruned": 0.88,
    }
    page = render({**report, "curve": points, "quality": {**found, "judged_on": "labels.npz"}})
    assert "Asked for max-drop 5%: accuracy 0.8800, the original has 0.9000, on labels.npz" in words(page)
    assert "accuracy 0.88 with 50.0% of parameters left" in page
    assert page.count("accuracy 0.88 with 50.0% of parameters left") > page.count(
        "accuracy 0.9 with 100.0% of parameters left"
    )


BENCH: dict[str, Any] = {
    "format": 1,
    "models": [{"path": "a/vit.onnx"}, {"path": "b/vit.onnx"}],
    "points": [
        {
            "batch": 8,
            "shapes": {"image": [8, 1, 28, 28]},
            "latency": [{"p50_ms": 9.5}, {"p50_ms": 6.25}],
            "ratios": [
                {"model": 1, "speedup": 1.52, "low": 1.48, "high": 1.56, "macs_ratio": 2.0, "share": 0.76}
            ],
        }
    ],
    "profiles": [
        {"operators": [{"op": "MatMul", "ms": 5.0}, {"op": "Softmax", "ms": 1.0}]},
        {"operators": [{"op": "MatMul", "ms": 2.5}, {"op": "Reorder", "ms": 0.5}]},
    ],
    "comparisons": [
        {
            "model": 1,
            "layers": [
                {
                    "node": "/mlp",
                    "op": "MatMul",
                    "before_ms": 2.0,
                    "after_ms": 1.9,
                    "cause": "width",
                    "why": EVIL,
                },
                {"node": "/fine", "op": "MatMul", "before_ms": 2.0, "after_ms": 1.0, "cause": "", "why": ""},
            ],
        }
    ],
}


def test_benchmark(report: dict[str, Any]) -> None:
    page = render(report, BENCH)
    text = words(page)
    assert "after: 6.25 ms" in page
    assert "b/vit.onnx image 8×1×28×28 1.52 × 1.48 – 1.56 2.00 × 76%" in text
    assert "MatMul: 5 → 2.5 ms" in page
    assert "Reorder: 0 → 0.5 ms" in page
    assert f"/mlp MatMul 2.000 1.900 {EVIL}" in text
    assert "/fine" not in text
    assert page.count("<script") == 1


def test_several_models_and_inputs(report: dict[str, Any]) -> None:
    """They are told apart by file names and by what differs of the inputs."""
    times = [{"p50_ms": 1.0 + n} for n in range(3)]
    points = [{"batch": b, "shapes": {"x": [b, 2]}, "latency": times, "ratios": []} for b in (1, 8)]
    models = [{"path": f"{name}.onnx"} for name in ("one", "two", "three")]
    page = render(report, {**BENCH, "models": models, "points": points, "comparisons": []})
    assert "three.onnx, batch 8: 3 ms" in page
    points = [{**p, "batch": 1} for p in points]
    page = render(report, {**BENCH, "models": models, "points": points, "comparisons": []})
    assert "one.onnx, x 8×2: 1 ms" in page


@pytest.mark.parametrize("missing", ["profiles", "comparisons", "points"])
def test_parts_of_a_benchmark(missing: str, report: dict[str, Any]) -> None:
    text = words(render(report, {k: v for k, v in BENCH.items() if k != missing}))
    assert ("Where the time goes" in text) == (missing != "profiles")
    assert "Latency" in text


# -- the command line ---------------------------------------------------------------------------


def test_with_the_run_and_later(cli: Any, small_path: Path, tmp_path: Path) -> None:
    now, later, data = tmp_path / "now.html", tmp_path / "later.html", tmp_path / "run.json"
    assert cli(small_path, "--report", now, "--json", data, "--quiet").code == 0
    assert cli("report", data, "-o", later).code == 0
    assert now.read_text() == later.read_text()
    assert cli("report", data).code == 0
    assert (tmp_path / "run.html").read_text() == now.read_text()


def test_screen_names_the_page_and_what_to_do(cli: Any, small_path: Path, tmp_path: Path) -> None:
    done = cli(small_path, "--recipe", "plain", "--no-benchmark", "--report", tmp_path / "page.html")
    lines = done.out.splitlines()
    assert lines[-1] == f"page: {tmp_path / 'page.html'}"
    assert "next: Give a few hundred real inputs; no labels are needed. (--calib inputs.npz)" in lines


def test_page_to_standard_output(cli: Any, small_path: Path, tmp_path: Path) -> None:
    cli(small_path, "--json", tmp_path / "run.json", "--quiet", "--no-benchmark")
    done = cli("report", tmp_path / "run.json", "-o", "-")
    assert done.out.startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot read the report"),
        ("{", "is not valid JSON"),
        ("[]", "is JSON but not a report"),
        ("{}", "is JSON but not a report"),
        ('{"format": 9, "before": 0, "after": 0, "equivalence": 0}', "has format 9, this version reads 1"),
    ],
)
def test_what_is_no_report(text: str | None, complaint: str, cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    if text is not None:
        file.write_text(text)
    done = cli("report", file)
    assert done.code == 2
    assert complaint in done.complaint
    assert not file.with_suffix(".html").exists()


def test_what_is_no_benchmark(cli: Any, small_path: Path, tmp_path: Path) -> None:
    cli(small_path, "--dry-run", "--quiet", "--recipe", "plain", "--json", tmp_path / "run.json")
    done = cli("report", tmp_path / "run.json", "--bench", tmp_path / "run.json")
    assert done.code == 2
    assert "is JSON but not a benchmark" in done.complaint
    (tmp_path / "bench.json").write_text(json.dumps(BENCH))
    assert cli("report", tmp_path / "run.json", "--bench", tmp_path / "bench.json").code == 0


def test_missing_library_is_said_before_the_work(
    cli: Any, small_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    done = cli(small_path, "--report", tmp_path / "page.html")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert 'pip install "graphprune[report]"' in done.complaint
    assert list(tmp_path.iterdir()) == [small_path]
    with pytest.raises(UsageError, match="vl_convert"):
        render({})


def test_folder_that_is_not_there(cli: Any, small_path: Path, tmp_path: Path) -> None:
    done = cli(small_path, "--report", tmp_path / "no" / "page.html")
    assert done.code == 2
    assert "its folder does not exist" in done.complaint
