"""How far two sets of outputs are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]


def is_real(array: NDArray[Any]) -> bool:
    """True for numbers with a fraction, of any precision."""
    return array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def relative_error(expected: NDArray[Any], found: NDArray[Any], least: float = 0.0) -> float:
    """Largest difference over the largest expected magnitude (at least `least`); infinite if shapes differ.

    Whole numbers and truth values give the share of elements that differ. A NaN or an infinity must
    stand where one is expected.
    """
    if expected.shape != found.shape:
        return float("inf")
    if expected.size == 0:
        return 0.0
    if not is_real(expected):
        return float(np.mean(expected != found))
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any():
        return float("inf")
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    return float(np.abs(a - b).max() / max(float(np.abs(a).max()), least, 1e-12))


def errors_of(expected: Outputs, found: Outputs, original: Outputs | None = None) -> dict[str, float]:
    """The relative error of each output.

    Where masking silences an output (a saturated sigmoid), what is left of it is rounding: differences count
    relative to a thousandth of the `original` output at least.
    """
    return {
        n: relative_error(expected[n], found[n], _silence(original, n)) if n in found else float("inf")
        for n in expected
    }


def largest_error(expected: Outputs, found: Outputs, original: Outputs | None = None) -> tuple[float, str]:
    """The largest of these errors, and the output that has it."""
    errors = errors_of(expected, found, original)
    return max(((error, n) for n, error in errors.items()), default=(0.0, ""))


def _silence(original: Outputs | None, name: str) -> float:
    array = None if original is None else original.get(name)
    if array is None or not is_real(array) or not array.size:
        return 0.0
    magnitude = np.abs(array.astype(np.float64))
    return 1e-3 * float(magnitude[np.isfinite(magnitude)].max(initial=0.0))
