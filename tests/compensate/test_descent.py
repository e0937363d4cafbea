"""Descent where numbers run out: what was found before stays, and nobody is warned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from graphprune.compensate.descent import Descent, Rows, descend

Weights = Mapping[str, NDArray[Any]]


class Valley:
    """Squared distance of one weight from one; from some step on its slope is another one."""

    kernels: frozenset[str] = frozenset()

    def __init__(self, later: float, after: int) -> None:
        self.later, self.after, self.asked = later, after, 0

    def loss(self, rows: Sequence[Rows], weights: Weights) -> tuple[float, float]:
        return float(np.square(weights["w"] - 1).sum()), 0.0

    def gradient(self, row: Rows, weights: Weights) -> dict[str, NDArray[Any]]:
        self.asked += 1
        slope = np.asarray(2 * (weights["w"] - 1), np.float32)
        return {"w": slope if self.asked <= self.after else np.full_like(slope, self.later)}


@pytest.mark.parametrize("later", [np.inf, np.nan])
def test_slopes_that_are_no_numbers_end_it(later: float) -> None:
    valley, start = Valley(later, 30), {"w": np.full((2, 2), 0.5, np.float32)}
    rows = [Rows({}, {})]
    found = descend(cast(Descent, valley), start, rows, rows, 60, 1, np.random.default_rng(0))
    assert valley.asked == 31
    assert np.isfinite(found.weights["w"]).all()
    assert found.after < found.before


def test_steep_slopes_are_steps_like_others() -> None:
    valley, start = Valley(-3e38, 0), {"w": np.full((2, 2), 0.5, np.float32)}
    rows = [Rows({}, {})]
    found = descend(cast(Descent, valley), start, rows, rows, 12, 1, np.random.default_rng(0))
    assert found.after < found.before


def test_what_leads_away_is_given_up() -> None:
    valley, start = Valley(-1.0, 0), {"w": np.full((2, 2), 2.0, np.float32)}  # up the hill
    rows, draw = [Rows({}, {})], np.random.default_rng(0)
    found = descend(cast(Descent, valley), start, rows, rows, 60, 1, draw, given_up=True)
    assert valley.asked == 20
    np.testing.assert_array_equal(found.weights["w"], start["w"])
    assert found.after == found.before


def test_it_comes_to_rest_where_the_loss_is_near() -> None:
    """One sixth of the steps after the loss is small enough, with ever smaller ones."""

    def run(near: float) -> tuple[int, float, float]:
        valley, start = Valley(0.0, 1000), {"w": np.full((2, 2), 0.5, np.float32)}
        rows, draw = [Rows({}, {})], np.random.default_rng(0)
        found = descend(cast(Descent, valley), start, rows, rows, 60, 1, draw, rate=0.1, near=near)
        return valley.asked, found.before, found.after

    asked, before, after = run(0.5)
    assert asked == 20
    assert after < 0.5 < before
    assert run(0.0)[0] == 60
