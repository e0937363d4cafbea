"""Sizes and their quality, and which size to try next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """One pruned model.

    Attributes:
        target: what was allowed to be left, as a share of the original.
        share: what is left of it.
        macs, params, size_bytes: of the model.
        slots: how many were removed.
        quality: by the measure of the search.
        seconds: it took to make and measure it.
    """

    target: float
    share: float
    macs: int
    params: int
    size_bytes: int | None
    slots: int
    quality: float
    seconds: float

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Point:
        """From JSON data."""
        return cls(**{name: data[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Bracket:
    """Where the limit lies: a size that is too small, and one that is good enough."""

    low: float
    high: float

    def tries(self, resolution: float) -> int:
        """How many more points a bisection takes."""
        width = self.high - self.low
        return 0 if width <= resolution else math.ceil(math.log2(width / resolution))


def bracket(points: Sequence[Point], good: Callable[[Point], bool], least: float) -> Bracket:
    """What the points say.

    Quality is noisy, so a size may be good enough though a larger one is not: the smallest one that is
    counts, and the largest one below it that is not.

    Args:
        points: what was measured.
        good: whether a point is good enough.
        least: the share that the largest cut leaves.
    """
    high = min((p.share for p in points if good(p)), default=1.0)
    low = max((p.target for p in points if not good(p) and p.target < high), default=least)
    return Bracket(min(low, high), high)


def best(points: Sequence[Point], good: Callable[[Point], bool]) -> Point | None:
    """The smallest model that is good enough."""
    return min((p for p in points if good(p)), key=lambda p: p.share, default=None)
