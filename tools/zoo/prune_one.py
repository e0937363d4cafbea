"""Prunes one file without hints and records what came of it; run by run.py in a process of its own.

Usage: prune_one.py MODEL RESULT. RESULT gets one JSON record; the process may also die, which the caller
records.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphprune import pipeline
from graphprune.analysis import Analysis
from graphprune.decide import Options
from graphprune.errors import GraphPruneError
from graphprune.pipeline import STAGES, Run, Settings, run_pipeline
from graphprune.report.data import not_cut, reached

RATIO = 0.5
ERROR_CHARS = 600
REASONS_KEPT = 12


class Watch:
    """Keeps processor seconds and results of functions of the pipeline, also when the run fails later."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.results: dict[str, Any] = {}
        self.stage = "load"

    def reached(self, stage: str) -> None:
        """Remember the stage that has begun."""
        self.stage = stage

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, watched."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            found = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
            self.results[name] = found
            return found

        return call


@contextmanager
def watching(*names: str) -> Iterator[Watch]:
    """Watch functions that `graphprune.pipeline` calls by these names."""
    watch, before = Watch(), {name: getattr(pipeline, name) for name in names}
    try:
        for name, function in before.items():
            setattr(pipeline, name, watch.wrapped(name, function))
        yield watch
    finally:
        for name, function in before.items():
            setattr(pipeline, name, function)


def prune_file(model: Path) -> dict[str, Any]:
    """Prune half of everything and return the record."""
    record: dict[str, Any] = {"status": "failed"}
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        watching("record", "analyse_model", "decide", "check_equivalence") as watch,
    ):
        settings = Settings(output=Path(folder) / "pruned.onnx", benchmark=False, progress=watch.reached)
        try:
            run = run_pipeline(model, Options(ratio=RATIO, recipe="plain"), settings)
            record |= {"status": run.equivalence.status, **_from_run(run)}
        except GraphPruneError as error:
            record |= {"status": "refused", "error": f"{type(error).__name__}: {error}"[:ERROR_CHARS]}
        except Exception as error:
            record["error"] = f"{type(error).__name__}: {error}"[:ERROR_CHARS]
    record["seconds"] = time.perf_counter() - start
    if record["status"] in ("refused", "failed"):
        record["stage"] = watch.stage if watch.stage in STAGES else "load"
    return record | _from_watch(watch)


def _from_run(run: Run) -> dict[str, Any]:
    before, after = run.decision.before, run.decision.after
    return {
        "params_removed": 1 - after.params / max(before.params, 1),
        "macs_removed": 1 - after.macs / max(before.macs, 1),
        "stages": run.seconds,
        "warnings": run.warnings,
    }


def _from_watch(watch: Watch) -> dict[str, Any]:
    """What is known however far the run came."""
    found: dict[str, Any] = {
        "record_s": watch.seconds.get("record"),
        "analyse_s": watch.seconds.get("analyse_model"),
    }
    if (analysis := watch.results.get("analyse_model")) is not None:
        found |= _from_analysis(analysis)
        if (decision := watch.results.get("decide")) is not None:
            found["cut"] = len(decision.keeps)
            found["not_cut"] = _by_reason(not_cut(analysis, decision.candidates.reasons))
    if (equivalence := watch.results.get("check_equivalence")) is not None:
        found["equivalence"] = asdict(equivalence)
        if equivalence.failed:
            found["status"] = "different"
    return found


def _from_analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "nodes": len(analysis.facts.nodes),
        "reached": reached(analysis),
        "method": analysis.recording.method,
        "barriers": sorted({_plain(why) for why in analysis.barriers.values()}),
    }


def _by_reason(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Dimensions with the same reason but for names, together; the largest share of the weights first."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(_plain(row["reason"]), {"groups": 0, "params": 0, "example": row["key"]})
        entry["groups"] += 1
        entry["params"] += row["params"]
    ranked = sorted(found.items(), key=lambda item: -item[1]["params"])[:REASONS_KEPT]
    return [{"reason": reason, **entry} for reason, entry in ranked]


def _plain(reason: str) -> str:
    """A reason without names and numbers.

    >>> _plain('frozen: Conv "a.b": its rule expects shape [1, 2], the runtime gives [1, 4]')
    'frozen: Conv: its rule expects shape [..], the runtime gives [..]'
    """
    return re.sub(r"\[[\d, -]*\]", "[..]", re.sub(r' "[^"]*"', "", reason))


def main() -> None:
    """Write the record of the file named first to the file named second."""
    warnings.filterwarnings("ignore")
    model, result = Path(sys.argv[1]), Path(sys.argv[2])
    result.write_text(json.dumps(prune_file(model)))


if __name__ == "__main__":
    main()
