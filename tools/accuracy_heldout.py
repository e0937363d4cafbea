"""The generated parts of docs/heldout.md: figures of each network, goals that are missed, losses foretold."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_tables import GOALS, NEAR, Records, marked, median, table

sys.path.insert(0, str(Path(__file__).with_name("heldout")))
from subjects import SUBJECTS

SHARES = (0.9, 0.8, 0.7, 0.5, 0.3)
_COLUMNS = (  # method and shares
    ("auto", SHARES),
    ("auto without data", (0.5,)),
    ("l2 group", (0.5,)),
    ("Torch-Pruning", (0.5, 0.3)),
)
_AHEAD = 0.10  # of Torch-Pruning when 30 % are left
Found = Mapping[str, Mapping[str, Any]]


def heldout_parts(found: Found) -> dict[str, Iterator[str]]:
    """Lines by the name of the part."""
    found = {name: found[name] for name in SUBJECTS if name in found}
    return {"heldout": _figures(found), "shortfalls": _shortfalls(found), "foretold": _foretold(found)}


def _figures(found: Found) -> Iterator[str]:
    head = [f"{m} {1 - s:.0%}" for m, shares in _COLUMNS for s in shares]
    rows = []
    for name, entry in found.items():
        records = entry["records"]
        cells = [marked(records, m, s, goal_of(entry, m, s)) for m, shares in _COLUMNS for s in shares]
        rows.append([f"{name}: {SUBJECTS[name].title}", entry["metric"], f"{entry['dense']:.3f}", *cells])
    yield from table(["network", "metric", "original", *head], rows)


def goal_of(entry: Mapping[str, Any], method: str, share: float) -> float | None:
    """What a method should leave of the metric; None where nothing is asked."""
    dense, records = entry["dense"], entry["records"]
    if share == 0.5:
        return float(dense - NEAR[method]) if method in NEAR else None
    if method != "auto":
        return None
    if share in GOALS:
        return float(GOALS[share] * dense)
    rival = median(records, "Torch-Pruning", share)
    return None if rival is None else rival + _AHEAD


def _shortfalls(found: Found) -> Iterator[str]:
    asked = reached = 0
    lines = []
    for name, entry in found.items():
        for method, shares in _COLUMNS:
            for share in shares:
                value, goal = median(entry["records"], method, share), goal_of(entry, method, share)
                if value is None or goal is None:
                    continue
                asked, reached = asked + 1, reached + (value >= goal)
                if value < goal:
                    what = f"`{name}`, {method}, {1 - share:.0%} removed"
                    lines.append(f"- {what}: {value:.4f}, asked {goal:.4f}")
    if not lines:
        yield f"Nothing: all {asked} goals are reached."
        return
    yield from (f"{reached} of {asked} goals are reached. The others:", "")
    yield from lines


# -- what was foretold --------------------------------------------------------------------------


def _foretold(found: Found) -> Iterator[str]:
    rows = []
    for label, key in (("top-1 that differ", "agreement"), ("expected loss", "expected_drop")):
        pairs = [p for entry in found.values() for p in _pairs(entry, key)]
        if len(pairs) > 2:
            told, real = np.array(pairs).T
            off = np.abs(told - real)
            figures = f"{_ranked(told, real):.2f}", f"{np.median(off):.3f}", f"{off.max():.3f}"
            rows.append([label, str(len(pairs)), *figures])
    yield from table(["foretold by", "runs", "rank correlation", "median error", "largest error"], rows)


def _pairs(entry: Mapping[str, Any], key: str) -> Iterator[tuple[float, float]]:
    """What a run with calibration inputs foretold of the loss, and the loss."""
    records: Records = entry["records"]
    for name, record in records.items():
        if name.startswith("auto |") and "expected_drop" in record:
            told = 1 - record["agreement"] if key == "agreement" else record[key]
            yield float(told), float(entry["dense"] - record["value"])


def _ranked(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation of ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)
