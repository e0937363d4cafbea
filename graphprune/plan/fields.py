"""The types of what a plan file says: it is written by a program, but may be edited by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphprune.errors import PlanError

_SECTIONS = ("reasons", "options", "versions", "repair")
# What a repair was made with: the type of each entry, and the smallest number.
_TEXTS = ("compensation", "calibration", "preprocessing", "noise", "basis")
_LEAST = {"seed": 0, "samples": 1, "aside": 2}


def check_fields(data: Mapping[str, Any], where: str) -> None:
    """Look at all but the kept indices, which only the model can judge.

    Raises:
        PlanError: something is of another type.
    """
    for name in _SECTIONS:
        if not isinstance(data.get(name) or {}, dict):
            raise PlanError(f"{name!r} in the plan {where} must be an object, got {data[name]!r:.80}")
    for key, reason in (data.get("reasons") or {}).items():
        if not isinstance(reason, str):
            raise PlanError(f"the reason of {key!r} in the plan {where} must be a text, got {reason!r:.80}")
    for key, group in data["groups"].items():
        _check_scores(group.get("scores") or [], f"the scores of {key!r} in the plan {where}")
    if data.get("repair"):
        _check_repair(data["repair"], f"in the repair of the plan {where}")


def _check_scores(scores: Any, what: str) -> None:
    try:
        np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise PlanError(f"{what} must be numbers, got {scores!r:.80}") from None


def _check_repair(repair: Mapping[str, Any], where: str) -> None:
    if "compensation" not in repair:
        raise PlanError(f"there is no 'compensation' {where}: make the plan again, or use --no-repair")
    for name in _TEXTS:
        found = repair.get(name, "")
        if not isinstance(found, str) and not (found is None and name == "calibration"):
            raise PlanError(f"{name!r} {where} must be a text, got {found!r:.80}")
    for name, least in _LEAST.items():
        found = repair.get(name, least)
        whole = isinstance(found, int) and not isinstance(found, bool) and found >= least
        if not whole and not (found is None and name == "samples"):
            raise PlanError(f"{name!r} {where} must be a whole number of at least {least}, got {found!r:.80}")
