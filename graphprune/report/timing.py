"""Times for the page: of the run itself, and of a benchmark where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

Data = Mapping[str, Any]
_OPERATORS_SHOWN = 14


def latencies(report: Data, bench: Data | None) -> list[dict[str, Any]]:
    """Rows of `name`, `value` in milliseconds, and `role`; empty where nothing was measured."""
    if bench and bench.get("points"):
        names = _names(bench) if len(bench["models"]) > 2 else ["before", "after"]
        where = _places(bench["points"])
        return [
            {"name": name + inputs, "value": found["p50_ms"], "role": "after" if place else "before"}
            for point, inputs in zip(bench["points"], where, strict=True)
            for place, (name, found) in enumerate(zip(names, point["latency"], strict=False))
        ]
    return [
        {"name": role, "value": report[role]["latency_ms"], "role": role}
        for role in ("before", "after")
        if report[role].get("latency_ms")
    ]


def speedups(bench: Data | None) -> list[dict[str, Any]]:
    """Rows of a model at some inputs: `speedup` from `low` to `high`, and what the multiply-adds promise."""
    if not bench:
        return []
    names = _names(bench)
    return [
        {**ratio, "name": names[ratio["model"]], "inputs": _inputs(point)}
        for point in bench.get("points", ())
        for ratio in point.get("ratios", ())
    ]


def operators(bench: Data | None) -> list[dict[str, Any]]:
    """Rows of `name` and milliseconds `before` and `after`, one for each kind of operator."""
    profiles = (bench or {}).get("profiles") or ()
    if not profiles:
        return []
    before, after = ({row["op"]: row["ms"] for row in p["operators"]} for p in (profiles[0], profiles[-1]))
    names = sorted(before.keys() | after.keys(), key=lambda op: -max(before.get(op, 0), after.get(op, 0)))
    return [
        {"name": op, "before": before.get(op, 0), "after": after.get(op, 0)}
        for op in names[:_OPERATORS_SHOWN]
    ]


def stubborn(bench: Data | None) -> list[Data]:
    """Layers that got no faster than they should have, with the reason, the most expensive first."""
    comparisons = (bench or {}).get("comparisons") or ()
    rows = [row for row in comparisons[-1]["layers"] if row.get("cause")] if comparisons else []
    return sorted(rows, key=lambda row: -row["after_ms"])


def _names(bench: Data) -> list[str]:
    """File names of the models, or whole paths where those are equal."""
    paths: Sequence[str] = [str(m["path"]) for m in bench["models"]]
    short = [PurePath(p).name for p in paths]
    return short if len(set(short)) == len(short) else list(paths)


def _places(points: Sequence[Data]) -> list[str]:
    """What tells the points apart, as short as it can be said."""
    if len(points) == 1:
        return [""]
    batches = [point.get("batch") for point in points]
    by_batch = len(set(batches)) == len(batches)
    return [f", batch {p['batch']}" if by_batch else f", {_inputs(p)}" for p in points]


def _inputs(point: Data) -> str:
    shapes = (f"{name} {'×'.join(map(str, shape))}" for name, shape in point.get("shapes", {}).items())
    return ", ".join(shapes) or f"batch {point.get('batch')}"
