"""Streaming moments of rows that are not as tame as they should be."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.statistics.moments import Moments


def rows(count: int, columns: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, (count, columns)).astype(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_left_out_with_their_targets(bad: float) -> None:
    x, y = rows(700), rows(700, 2, seed=1)
    spoilt_x, spoilt_y = x.copy(), y.copy()
    spoilt_x[5, 1], spoilt_y[640, 0] = bad, bad
    good = np.delete(np.arange(700), [5, 640])
    expected, found = Moments(), Moments()
    expected.add(x[good], y[good])
    for k in (slice(0, 600), slice(600, 700)):
        found.add(spoilt_x[k], spoilt_y[k])
    assert (found.count, found.left_out) == (698, 2)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.cross, expected.cross, rtol=1e-5, atol=1e-4)


def test_nothing_but_bad_rows_is_nothing() -> None:
    found = Moments()
    found.add(np.full((4, 3), np.nan, np.float32))
    assert (found.count, found.left_out) == (0, 4)
    good = Moments()
    good.add(rows(10))
    assert (good.merged(found).count, good.merged(found).left_out) == (10, 4)


def test_products_of_large_numbers_do_not_overflow() -> None:
    x = rows(600)
    plain, large = Moments(), Moments()
    plain.add(x)
    large.add(x * np.float32(1e25))
    assert np.isfinite(large.covariance).all()
    np.testing.assert_allclose(large.covariance / 1e50, plain.covariance, rtol=1e-4, atol=1e-4)
