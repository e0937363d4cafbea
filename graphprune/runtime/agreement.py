"""Whether two models give the same outputs, up to rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.errors import GraphPruneError
from graphprune.runtime.session import open_session

Array = NDArray[Any]

_TOLERANCE = 1e-4  # of the largest output; the same rows are computed by the same operators


def agree(one: ir.Model, other: ir.Model, feeds: Mapping[str, Array]) -> bool:
    """Whether both run on some inputs and give the same."""
    try:
        with open_session(one) as first, open_session(other) as second:
            found = [s.run(feeds) for s in (first, second)]
    except GraphPruneError:
        return False
    return found[0].keys() == found[1].keys() and all(_close(a, found[1][n]) for n, a in found[0].items())


def _close(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind != "f":
        return np.array_equal(one, other)
    allowed = _TOLERANCE * max(1e-6, float(np.abs(one).max(initial=0)))
    return np.allclose(one, other, rtol=0, atol=allowed, equal_nan=True)
