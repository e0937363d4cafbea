"""What rows that were left out say of a fit, and of a bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.compensate.solve import fit_checked, shift_checked
from graphprune.statistics.moments import Moments

Floats = NDArray[np.float64]
WEIGHTS = np.random.default_rng(2).normal(size=(3, 6))


def folds(rows: int, lost: Floats, seed: int = 0) -> list[Moments]:
    """Two halves of rows whose targets are those of the weights and something for each row."""
    draw = np.random.default_rng(seed)
    found = [Moments(), Moments()]
    for fold, part in zip(found, np.array_split(lost, 2), strict=True):
        x = draw.normal(size=(rows // 2, 6))
        fold.add(x.astype(np.float32), (x @ WEIGHTS.T + part).astype(np.float32))
    return found


def test_a_bias_makes_up_for_what_both_halves_have_lost() -> None:
    lost = np.array([1.0, -2.0, 0.5]) + np.random.default_rng(1).normal(size=(40, 3))
    found = shift_checked(folds(40, lost), WEIGHTS)
    np.testing.assert_allclose(found, lost.mean(axis=0), atol=1e-4)


def test_a_bias_that_halves_do_not_agree_on_is_not_changed() -> None:
    lost = np.concatenate([np.full((20, 3), 1.0), np.full((20, 3), -0.8)])
    np.testing.assert_array_equal(shift_checked(folds(40, lost), WEIGHTS), np.zeros(3))


def test_weights_stay_where_no_fit_holds_on_the_other_half() -> None:
    """Noise has nothing to fit; what depends on the columns has."""
    draw = np.random.default_rng(4)
    noise = draw.normal(size=(16, 3))
    weights, damping = fit_checked(folds(16, noise), WEIGHTS)
    assert np.isinf(damping)
    np.testing.assert_array_equal(weights, WEIGHTS)
    weights, damping = fit_checked(folds(600, draw.normal(0, 0.1, (600, 3))), WEIGHTS + 0.5)
    assert damping < 0.1
    np.testing.assert_allclose(weights, WEIGHTS, atol=0.05)
