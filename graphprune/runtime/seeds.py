"""Seeds: whole numbers that generators take."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphprune.errors import UsageError


def check_seed(seed: Any) -> None:
    """Find out before the work whether random numbers can be drawn from a seed.

    Raises:
        UsageError: it is no whole number, or negative.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"the seed must be a whole number of at least 0, got {seed!r}")
