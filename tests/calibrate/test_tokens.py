"""Made-up sequences of tokens: inside their table, and unlike one another."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.calibrate.tokens import sequences


@pytest.mark.parametrize("bound", [1, 2, 7, 30000])
def test_ids_stay_inside_their_table(bound: int) -> None:
    found = sequences((40, 16), bound, np.random.default_rng(0))
    assert found.shape == (40, 16)
    assert found.min() >= 0
    assert found.max() < bound


def test_samples_use_symbols_of_their_own() -> None:
    """Some few, some many; some of one part of the table, some of all of it."""
    found = sequences((200, 256), 256, np.random.default_rng(1))
    used = np.array([len(set(row)) for row in found])
    assert used.min() < 8
    assert used.max() > 60
    width = found.max(axis=1) - found.min(axis=1)
    assert (width < 32).any()
    assert (width > 200).any()
    middle = np.median(found, axis=1)
    assert middle.std() > 40  # drawn evenly it would be about 5


def test_equal_draws_are_equal() -> None:
    one, other = (sequences((8, 32), 50, np.random.default_rng(seed)) for seed in (3, 3))
    np.testing.assert_array_equal(one, other)
