"""How much of its score a group loses as its slots go, the worst ones first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 20  # steps of a curve


def sensitivity(scores: NDArray[np.float64], kept: int) -> dict[str, Any] | None:
    """A loss curve of one group; None where scores say nothing of an amount.

    Args:
        scores: of the slots along the last axis.
        kept: how many slots stay.

    >>> sensitivity(np.array([3.0, 1.0, 4.0, 2.0]), 2)["lost"]
    0.3
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size or finite.min() < 0 or finite.max() <= 0:
        return None
    slots = scores.shape[-1]
    ordered = np.sort(np.where(np.isfinite(scores), scores, finite.max()), axis=-1)
    gone = np.concatenate([[0.0], np.cumsum(ordered.reshape(-1, slots).sum(axis=0))])
    counts = sorted({round(k * slots / POINTS) for k in range(POINTS + 1)} | {slots - kept})
    return {
        "total": _short(gone[-1]),
        "lost": _short(gone[slots - kept] / gone[-1]),
        "curve": [[_short(n / slots), _short(gone[n] / gone[-1])] for n in counts],
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
