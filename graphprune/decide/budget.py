"""Budgets: what `--target` says, and the share of slots to remove that meets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphprune.errors import TargetError, UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1}
COUNTED = ("macs", "params", "size")
MEASURES = (*COUNTED, "latency")


@dataclass(frozen=True, slots=True)
class Target:
    """At most `limit` of `measure`: multiply-adds, parameters, bytes of the file, or latency.

    `relative` says that `limit` is a share of the original.
    """

    measure: str
    limit: float
    relative: bool
    text: str

    def allowed(self, original: float) -> float:
        """The limit as a count."""
        return self.limit * original if self.relative else self.limit


def parse_targets(texts: Sequence[str]) -> tuple[Target, ...]:
    """Read `macs=0.5`, `params=1.2M`, `size=8MB`; several may be joined by commas.

    Raises:
        UsageError: not of this form.

    >>> parse_targets(["macs=0.5,size=8MB"])[1].limit
    8000000.0
    """
    return tuple(target for text in texts for target in _parse_each(text))


def _parse_each(text: str) -> tuple[Target, ...]:
    found = tuple(_parse(part.strip()) for part in text.split(",") if part.strip())
    if not found:
        raise UsageError(
            f"no target is named in {text!r}: write for example macs=0.5, params=1.2M or size=8MB"
        )
    return found


def _parse(text: str) -> Target:
    found = re.fullmatch(r"(\w+)\s*=\s*([0-9.]+(?:e[0-9]+)?)\s*([A-Za-z]*)(%?)", text)
    hint = "write for example macs=0.5, params=1.2M, size=8MB or latency=0.5"
    if not found or found[1] not in MEASURES or found[3].upper() not in _UNITS:
        raise UsageError(f"cannot read the target {text!r}: {hint}")
    try:
        number = float(found[2])
    except ValueError:
        raise UsageError(f"cannot read the target {text!r}: {hint}") from None
    if found[4]:
        number /= 100
    relative = not found[3] and (bool(found[4]) or number <= 1)
    if found[1] == "latency" and not relative:
        raise UsageError(f"the target {text!r} must be a share of the original, for example latency=0.5")
    if number <= 0 or (found[4] and number > 1):
        raise UsageError(f"the target {text!r} leaves nothing or everything: {hint}")
    return Target(found[1], number * _UNITS[found[3].upper()], relative, text)


def meets(targets: Sequence[Target], found: Mapping[str, float], original: Mapping[str, float]) -> bool:
    """Whether figures, by measure, keep to all targets."""
    return all(found[t.measure] <= t.allowed(original[t.measure]) for t in targets)


def solve(
    targets: Sequence[Target],
    figures: Callable[[Mapping[int, int]], Mapping[str, float]],
    counts_at: Callable[[float], Mapping[int, int]],
) -> tuple[float, Mapping[int, int]]:
    """The smallest share of removed slots, in [0, 1], that meets all targets.

    Args:
        targets: what must hold.
        figures: every measure of kept slots; of no counts, of the original.
        counts_at: kept slots by atom for a share; more is removed as it grows.

    Raises:
        TargetError: not even the largest cut meets them; says what it reaches.
    """
    original = figures({})

    def met(share: float) -> bool:
        return meets(targets, figures(counts_at(share)), original)

    if met(0.0):
        return 0.0, counts_at(0.0)
    if not met(1.0):
        least = figures(counts_at(1.0))
        best = ", ".join(_best(t.measure, least[t.measure], original[t.measure]) for t in targets)
        shares = {name: least[name] / (original[name] or 1) for name in least}
        raise TargetError(
            f"the target {', '.join(t.text for t in targets)} cannot be reached: cutting every group to its "
            f"floor leaves {best}; ask for that, lower --min-keep, or allow more with --structures",
            shares,
        )
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if met(middle) else (middle, high)
        if high - low < 1e-6:
            break
    return high, counts_at(high)


def _best(measure: str, reached: float, whole: float) -> str:
    share = f"{measure}={reached / whole if whole else 1:.3f}"
    return share if measure == "latency" else f"{share} ({reached:,.0f} of {whole:,.0f})"
