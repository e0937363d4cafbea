"""What was asked for: how much worse the result may be, and by which measure."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.decide.budget import COUNTED
from graphprune.errors import UsageError
from graphprune.metrics import Metric, load_metric

AGREEMENTS = ("auto", "top1", "cosine")


@dataclass(frozen=True, slots=True)
class Wish:
    """A limit on quality.

    Attributes:
        text: as it was asked for.
        limit: largest drop of the metric, or smallest agreement.
        relative: the drop is a share of the original's value.
        metric: the user's own measure; None for agreement with the original.
        agreement: how that is measured: "top1", "cosine", or "auto".
        minimise: what is made small: "macs", "params" or "size".
        resume: file of the points that are known.
        resolution: how finely sizes are searched, as a share of the original.
    """

    text: str
    limit: float
    relative: bool = False
    metric: Metric | None = None
    agreement: str = "auto"
    minimise: str = "macs"
    resume: Path | None = None
    resolution: float = 0.01

    def allows(self, original: float, found: float) -> bool:
        """Whether a quality is good enough."""
        if self.metric is None:
            return found >= self.limit
        # Differences of decimal fractions, such as 0.898 - 0.888, are not quite what they say.
        return self.metric.drop(original, found) <= self.allowed(original) + 1e-9

    def allowed(self, original: float) -> float:
        """The largest drop of the metric."""
        return self.limit * abs(original) if self.relative else self.limit


def make_wish(
    max_drop: str | float | None,
    min_fidelity: str | float | None,
    metric: str | Callable[..., Any] | None,
    *,
    minimise: str = "macs",
    resume: str | os.PathLike[str] | None = None,
    excluded: bool = False,
) -> Wish | None:
    """Read what was asked for; None if nothing was.

    Args:
        max_drop: 0.01, or "1%" of the original's value.
        min_fidelity: 0.98, "top1=0.98" or "cosine=0.99".
        metric: the user's measure, for `max_drop`.
        minimise: what is made small.
        resume: file of the points that are known.
        excluded: a ratio or a target was asked for too.

    Raises:
        UsageError: they contradict each other or cannot be read.
    """
    if minimise not in COUNTED:
        raise UsageError(f"cannot minimise {minimise!r}: choose from {', '.join(COUNTED)}")
    if max_drop is None and min_fidelity is None:
        if metric is not None or resume is not None:
            raise UsageError(
                "--metric and --resume need to know how good the result must be: give --max-drop"
            )
        return None
    if excluded:
        raise UsageError(
            "a limit on quality finds the size by itself: give no --ratio and no --target with --max-drop or "
            "--min-fidelity"
        )
    where = None if resume is None else Path(resume)
    if min_fidelity is not None:
        if max_drop is not None or metric is not None:
            raise UsageError("give either --max-drop with --metric, or --min-fidelity, not both")
        return _agreement(str(min_fidelity), minimise, where)
    if metric is None:
        raise UsageError(
            "--max-drop needs a measure: --metric file.py:function; without labels use --min-fidelity 0.98"
        )
    text = str(max_drop)
    limit = _number(text.removesuffix("%"), "--max-drop", text, "0.01 or 1%")
    relative = text.endswith("%")
    if limit < 0:
        raise UsageError(f"--max-drop must not be negative, got {text}")
    found = load_metric(metric)
    return Wish(text, limit / 100 if relative else limit, relative, found, "", minimise, where)


def _agreement(text: str, minimise: str, resume: Path | None) -> Wish:
    name, _, value = text.rpartition("=")
    name = name or "auto"
    if name not in AGREEMENTS:
        raise UsageError(f"cannot read --min-fidelity {text!r}: write 0.98, top1=0.98 or cosine=0.99")
    limit = _number(value, "--min-fidelity", text, "0.98, top1=0.98 or cosine=0.99")
    if not 0 < limit < 1:
        raise UsageError(f"--min-fidelity must lie between 0 and 1, got {text}: 1 would be the original")
    return Wish(text, limit, agreement=name, minimise=minimise, resume=resume)


def _number(text: str, option: str, whole: str, example: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"cannot read {option} {whole!r}: write for example {example}") from None
