"""Reads the records of tools/accuracy.py and sets them as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GOALS = {0.9: 0.99, 0.8: 0.96, 0.7: 0.90}  # of the metric of the original
NEAR = {"auto": 0.01, "auto without data": 0.03}  # of the metric that half of the multiply-adds may cost
Records = Mapping[str, Mapping[str, Any]]


def values(records: Records, method: str, share: float, of: str = "value") -> list[float]:
    """What was measured with every seed."""
    found = []
    for key, record in records.items():
        name, at, _ = key.split(" | ")
        if (name, float(at)) == (method, share) and of in record:
            found.append(float(record[of]))
    return found


def median(records: Records, method: str, share: float, of: str = "value") -> float | None:
    """The median over seeds; None where nothing could be measured."""
    found = values(records, method, share, of)
    return statistics.median(found) if found else None


def cell(records: Records, method: str, share: float, of: str = "value") -> str:
    """A value as text: a dash where it could not be measured, nothing where nobody tried."""
    value = median(records, method, share, of)
    if value is not None:
        return f"{value:.3f}"
    tried = (r for key, r in records.items() if key.startswith(f"{method} | {share} | "))
    return "–" if any("why" in record for record in tried) else ""


def marked(records: Records, method: str, share: float, goal: float | None, of: str = "value") -> str:
    """A value as text, bold where it reaches its goal."""
    text, value = cell(records, method, share, of), median(records, method, share, of)
    return f"**{text}**" if goal is not None and value is not None and value >= goal else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"
