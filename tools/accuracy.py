"""Accuracy without training: methods side by side on trained models, at the same multiply-adds.

    python tools/accuracy.py                                  bundled models -> docs/accuracy.md
    python tools/accuracy.py --models vit,bilstm --macs 0.5
    python tools/accuracy.py --tasks FOLDER --files OUT      other models, each with a script that measures it

For `--tasks`, FOLDER holds a `collect.py` with `TASKS` (name: script, options, metric, value of the original)
and one script for each, with `evaluate(model_path, n=...)` that opens its model by its own name `session`;
OUT/NAME/model.onnx are the models. Calibration inputs are what the script feeds after its first `n` samples,
so none of those it is measured on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import graphprune
from graphprune.errors import GraphPruneError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "models"))
import evaluate as bundled  # noqa: E402

REFIT = {"compensation": "refit"}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "random": {"criterion": "random"},
    "l1": {"criterion": "l1", "reducer": "first", "normaliser": "mean"},
    "l2 group": {"criterion": "l2-group", "normaliser": "mean"},
    "l2 group (global)": {"criterion": "l2-group", "normaliser": "mean", "allocation": "global"},
    "random + refit": {"criterion": "random", **REFIT},
    "l1 + refit": {"criterion": "l1", "reducer": "first", "normaliser": "mean", **REFIT},
    "l2 group + refit": {"criterion": "l2-group", "normaliser": "mean", **REFIT},
    "auto without repair": {"recipe": "auto", "compensation": "none"},
    "auto with block OBS": {"recipe": "auto", "compensation": "refit-m"},
    "auto with covariance": {"recipe": "auto", "compensation": "refit-c"},
    "auto": {"recipe": "auto"},
    "auto without data": {"recipe": "auto", "calib": None},
}


def measure(
    path: Path, calib: Any, score: Any, macs: Sequence[float], methods: Sequence[str], work: Path
) -> dict[str, dict[str, float | str]]:
    """What is left of the metric for each method and share of multiply-adds."""
    rows: dict[str, dict[str, float | str]] = {}
    for name in methods:
        options = {"calib": calib, **METHODS[name]}
        for share in macs:
            out, start = work / "pruned.onnx", time.perf_counter()
            try:
                graphprune.prune(path, target=f"macs={share}", output=out, min_keep=0.03, **options)
                value: float | str = round(float(score(out)), 4)
            except GraphPruneError as error:
                value = f"{type(error).__name__}: {error}"
            rows.setdefault(name, {})[str(share)] = value
            print(f"{path.stem} {name} {share}: {value} ({time.perf_counter() - start:.0f} s)", flush=True)
    return rows


def of_bundled(names: Sequence[str], macs: Sequence[float], methods: Sequence[str]) -> dict[str, Any]:
    """The models of this repository."""
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            path = ROOT / "models" / f"{name}.onnx"
            dense = bundled.evaluate(path)
            rows = measure(
                path,
                bundled.calibration(path),
                lambda p: bundled.evaluate(p)["value"],
                macs,
                methods,
                Path(work),
            )
            found[name] = {"metric": dense["metric"], "dense": dense["value"], "rows": rows}
    return found


def of_tasks(
    tasks: Path, files: Path, names: Sequence[str], macs: Sequence[float], methods: Sequence[str], more: int
) -> dict[str, Any]:
    """Models with a script each."""
    sys.path.insert(0, str(tasks))
    table = importlib.import_module("collect").TASKS
    found = {}
    for name in names or list(table):
        script, options, metric, dense = table[name]
        module = importlib.import_module(script)
        path = files / name / "model.onnx"
        calib = recorded(module, path, options, more)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for beside in path.parent.iterdir():  # a script may read what lies beside the model
                if beside.is_file() and beside.suffix != ".onnx":
                    shutil.copy(beside, work)
            rows = measure(path, calib, lambda p: module.evaluate(p, **options)[metric], macs, methods, work)  # noqa: B023
        found[name] = {"metric": metric, "dense": dense, "rows": rows}
    return found


def recorded(module: Any, path: Path, options: Mapping[str, Any], more: int) -> list[dict[str, np.ndarray]]:
    """What a script feeds to the model after the samples that it is measured on."""
    feeds: list[dict[str, np.ndarray]] = []
    real = module.session

    class Recorder:
        """A session that remembers what it was fed."""

        def __init__(self, *given: Any) -> None:
            self._inner = real(*given)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def run(self, outputs: Any, given: Mapping[str, Any], *rest: Any) -> Any:
            feeds.append({k: np.array(v) for k, v in given.items()})
            return self._inner.run(outputs, given, *rest)

    default = module.evaluate.__defaults__[1]
    module.session = Recorder
    try:
        module.evaluate(path, **options)
        first = len(feeds)
        feeds.clear()
        module.evaluate(path, **{**options, "n": default + more})
    finally:
        module.session = real
    later = feeds[first:]
    return later[:: max(1, len(later) // 256)] or feeds


def table(found: Mapping[str, Any], macs: Sequence[float]) -> list[str]:
    """The figures of all models, one table each."""
    lines = []
    for name, entry in found.items():
        lines += [
            f"### {name}",
            "",
            f"{entry['metric']} of the original: {entry['dense']}",
            "",
            "| method | " + " | ".join(f"{m:.0%} of the MACs" for m in macs) + " |",
            "|---|" + "---:|" * len(macs),
        ]
        for method, row in entry["rows"].items():
            cells = [f"{row[str(m)]:.3f}" if isinstance(row[str(m)], float) else "–" for m in macs]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default="", help="names, by comma; all by default")
    parser.add_argument("--macs", default="0.7,0.5,0.3", help="shares of the multiply-adds that may be left")
    parser.add_argument("--methods", default="", help="names, by comma; all by default")
    parser.add_argument("--tasks", type=Path, help="a folder of scripts that measure models")
    parser.add_argument("--files", type=Path, help="where their models are")
    parser.add_argument("--more", type=int, default=128, help="samples for calibration, for --tasks")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    args = parser.parse_args()
    macs = [float(m) for m in args.macs.split(",")]
    methods = [m for m in METHODS if not args.methods or m in args.methods.split(",")]
    names = [n for n in args.models.split(",") if n]
    if args.tasks:
        found = of_tasks(args.tasks, args.files, names, macs, methods, args.more)
    else:
        every = sorted(json.loads((ROOT / "models/models.json").read_text()))
        found = of_bundled(names or every, macs, methods)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    text = "\n".join(table(found, macs))
    if args.markdown:
        args.markdown.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
