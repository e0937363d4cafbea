"""Prunes one file without hints and says what came of it; run by run.py in a process of its own."""

from __future__ import annotations

import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from graphprune import finish, pipeline
from graphprune.analysis import Analysis, prepare
from graphprune.decide import Options
from graphprune.errors import GraphPruneError
from graphprune.pipeline import run_pipeline
from graphprune.report.data import not_cut, reached
from graphprune.run import STAGES, Run, Settings

RATIO = 0.5
WATCHED = (
    (prepare, "analyse_model"),
    (pipeline, "decide"),
    (finish, "check_equivalence"),
)
ERROR_CHARS = 600
REASONS_KEPT = 12
KEPT = ("error", "change", "output", "note")  # of the check


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
def watching(functions: Iterable[tuple[ModuleType, str]]) -> Iterator[Watch]:
    """Watch functions that modules call by these names."""
    watch, before = Watch(), [(module, name, getattr(module, name)) for module, name in functions]
    try:
        for module, name, function in before:
            setattr(module, name, watch.wrapped(name, function))
        yield watch
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def prune_file(model: str) -> dict[str, Any]:
    """Prune half of everything and return the record."""
    warnings.filterwarnings("ignore")
    record: dict[str, Any] = {"status": "failed"}
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        watching(WATCHED) as watch,
    ):
        settings = Settings(output=Path(folder) / "pruned.onnx", benchmark=False, progress=watch.reached)
        try:
            run = run_pipeline(model, Options(ratio=RATIO, recipe="plain"), settings)
            record |= {"status": run.equivalence.status, **_from_run(run)}
        except GraphPruneError as error:
            record |= {"status": "refused", "why": f"{type(error).__name__}: {error}"[:ERROR_CHARS]}
        except Exception as error:
            record["why"] = f"{type(error).__name__}: {error}"[:ERROR_CHARS]
    record["seconds"] = time.perf_counter() - start
    if record["status"] in ("refused", "failed"):
        record["stage"] = watch.stage if watch.stage in STAGES else "load"
    return record | _from_watch(watch)


def _from_run(run: Run) -> dict[str, Any]:
    before, after = run.decision.before, run.decision.after
    return {
        "params_removed": 1 - after.params / max(before.params, 1),
        "macs_removed": 1 - after.macs / max(before.macs, 1),
    }


def _from_watch(watch: Watch) -> dict[str, Any]:
    """What is known however far the run came."""
    found: dict[str, Any] = {"analyse_s": watch.seconds.get("analyse_model")}
    if (analysis := watch.results.get("analyse_model")) is not None:
        found |= _from_analysis(analysis)
        if (decision := watch.results.get("decide")) is not None:
            found["cut"] = len(decision.keeps)
            found["not_cut"] = _by_reason(not_cut(analysis, decision.candidates.reasons))
    if (equivalence := watch.results.get("check_equivalence")) is not None:
        found |= {key: value for key, value in asdict(equivalence).items() if key in KEPT and value}
        if equivalence.failed:
            found["status"] = "different"
        if not equivalence.failed:
            found.pop("output", None)
    return found


def _from_analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "nodes": len(analysis.facts.nodes),
        "reached": reached(analysis),
    }


def _by_reason(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many dimensions have the same reason but for names; the largest share of the weights first."""
    groups: Counter[str] = Counter()
    params: Counter[str] = Counter()
    for row in rows:
        groups[_plain(row["reason"])] += 1
        params[_plain(row["reason"])] += row["params"]
    return {reason: groups[reason] for reason, _ in params.most_common(REASONS_KEPT)}


def _plain(reason: str) -> str:
    """A reason without names and numbers.

    >>> _plain('frozen: Conv "a.b": its rule expects shape [1, 2], the runtime gives [1, 4]')
    'frozen: Conv: its rule expects shape [..], the runtime gives [..]'
    """
    return re.sub(r"\[[\d, -]*\]", "[..]", re.sub(r' "[^"]*"', "", reason))
