"""From a loaded model to an analysed one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.analyser import Analysis, analyse_model
from graphprune.analysis.cost import CostModel
from graphprune.errors import GraphPruneError
from graphprune.normalise import normalise
from graphprune.normalise.rows import narrowed
from graphprune.runtime.dimensions import Sizes
from graphprune.runtime.record import record
from graphprune.runtime.recording import Recording
from graphprune.runtime.session import open_session

Array = NDArray[Any]

_TOLERANCE = 1e-4  # of the largest output; the same rows are computed by the same operators


def prepare(model: ir.Model, seed: int = 0) -> tuple[ir.Model, Analysis]:
    """The normalised model and its analysis.

    Rows that nobody reads are not computed any more; what that spares is counted as a part of what the
    original costs.
    """
    normal = normalise(model)
    return prepare_normal(normal, seed)


def prepare_normal(normal: ir.Model, seed: int = 0, given: Sequence[Sizes] = ()) -> tuple[ir.Model, Analysis]:
    """The same for a model that is normalised already; `given` are sizes that the user's inputs have."""
    recording = record(normal, seed, given)
    analysis = analyse_model(normal, recording)
    if recording.method != "run":
        return normal, analysis
    narrow = narrowed(normal, recording.shapes)
    if narrow is None or not _same(normal, narrow, recording):
        return normal, analysis
    again = analyse_model(narrow, record(narrow, seed, given))
    spared = CostModel(analysis).cost().macs - CostModel(again).cost().macs
    return narrow, dataclasses.replace(again, spared=max(0, spared))


def _same(one: ir.Model, other: ir.Model, recording: Recording) -> bool:
    """Whether two models give the same outputs for what was recorded."""
    try:
        with open_session(one) as first, open_session(other) as second:
            found = [s.run(recording.feeds) for s in (first, second)]
    except GraphPruneError:
        return False
    return found[0].keys() == found[1].keys() and all(_close(a, found[1][n]) for n, a in found[0].items())


def _close(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind != "f":
        return np.array_equal(one, other)
    allowed = _TOLERANCE * max(1e-6, float(np.abs(one).max(initial=0)))
    return np.allclose(one, other, rtol=0, atol=allowed, equal_nan=True)
