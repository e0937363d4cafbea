"""Ratios and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.benchmark.ratios import paired_ratio, percentile


def test_percentiles() -> None:
    times = [float(k) for k in range(1, 102)]
    assert percentile(times, 0.5) == 51
    assert percentile(times, 0.9) == pytest.approx(91)


def test_the_interval_of_equal_rounds_is_a_point() -> None:
    found = paired_ratio([4.0] * 20, [2.0] * 20)
    assert (found.value, found.low, found.high) == (2, 2, 2)


def test_drift_that_slows_both_does_not_widen_the_interval() -> None:
    drift = np.where(np.arange(200) < 100, 1.0, 3.0) + np.linspace(0, 0.1, 200)
    draw = np.random.default_rng(0)
    apart = paired_ratio(2 * drift, draw.permutation(drift))
    paired = paired_ratio(2 * drift, drift)
    assert paired.value == pytest.approx(2)
    assert paired.high - paired.low < 1e-9 < apart.high - apart.low


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_the_ratio(seed: int) -> None:
    draw = np.random.default_rng(seed)
    before, after = (m * (1 + 0.1 * np.abs(draw.standard_normal(100))) for m in (3.0, 2.0))
    found = paired_ratio(before, after)
    assert found.low <= found.value <= found.high
    assert found.low < 1.5 * 1.02
    assert found.high > 1.5 * 0.98


def test_a_few_rounds_have_no_interval() -> None:
    found = paired_ratio([4.0, 5.0, 6.0], [2.0, 2.5, 3.0])
    assert (found.value, found.low, found.high) == (2, None, None)


def test_the_interval_is_the_same_every_time() -> None:
    times = np.random.default_rng(3).random((2, 30))
    assert paired_ratio(*times) == paired_ratio(*times)
