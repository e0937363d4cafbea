"""Percentiles of times, and ratios of two models' times with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000
_LEVEL = 0.95
FEWEST = 5  # rounds that an interval can be told from


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster, and the interval that holds it with 95 % confidence; None of too few rounds."""

    value: float
    low: float | None
    high: float | None


def percentile(times: Sequence[float], share: float) -> float:
    """The time that a share of the runs stays below.

    >>> percentile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    return float(np.quantile(np.asarray(times), share))


def paired_ratio(before: Sequence[float], after: Sequence[float], seed: int = 0) -> Ratio:
    """The ratio of the medians; the interval is a bootstrap over rounds.

    Both times of a round were taken one after the other, so a round is drawn as a whole: what slowed the
    machine down for a while slowed both.

    Args:
        before: times of the first.
        after: times of the second; equal places are of the same round.
        seed: of the resampling.
    """
    pairs = np.stack([np.asarray(before, float), np.asarray(after, float)])
    whole = np.median(pairs, axis=-1)
    if pairs.shape[1] < FEWEST:
        return Ratio(float(whole[0] / whole[1]), None, None)
    draw = np.random.default_rng(seed)
    places = draw.integers(0, pairs.shape[1], (_RESAMPLES, pairs.shape[1]))
    medians = np.median(pairs[:, places], axis=-1)
    low, high = np.quantile(medians[0] / medians[1], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Ratio(float(whole[0] / whole[1]), float(low), float(high))
