"""Which networks are causal language models.

It is found out, not asked: by the shapes of inputs and outputs, and by whether a token changes what stands
before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.errors import ModelError
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.session import Session, open_session

Array = NDArray[Any]
Feeds = Mapping[str, Array]

SHORTEST = 16  # positions
_ROUNDING = 1e-3  # of the spread of the scores


@dataclass(frozen=True, slots=True)
class Speaker:
    """A causal language model.

    Attributes:
        model: the network.
        tokens: the input of token ids, `(batch, positions)`.
        scores: the output of scores of the next token, `(batch, positions, vocabulary)`.
        bound: ids stay below it.
        free: sequences may have any length.
    """

    model: ir.Model
    tokens: str
    scores: str
    bound: int
    free: bool

    @property
    def weights(self) -> int:
        """How many there are: about the multiply-adds for one token."""
        values = self.model.graph.initializers.values()
        return max(1, sum(int(np.prod(v.shape.numpy())) for v in values if v.shape is not None))


def find_speaker(model: ir.Model, feeds: Feeds, bounds: Mapping[str, int]) -> Speaker | None:
    """How a model speaks, found out by running it twice; None if it does not.

    Args:
        model: any model.
        feeds: valid ones.
        bounds: how many rows the tables have that inputs index.
    """
    if not may_speak(model) or not _fit(feeds):
        return None
    try:
        with open_session(model) as session:
            return _found(model, session, feeds, bounds)
    except ModelError:
        return None


def may_speak(model: ir.Model) -> bool:
    """Whether there are whole numbers to read, and an output with an axis more than tokens have."""
    ids = [v for v in real_inputs(model) if v.dtype is not None and v.dtype.is_integer()]
    return bool(ids) and 3 in {len(v.shape) for v in model.graph.outputs if v.shape is not None}


def _fit(feeds: Feeds) -> bool:
    """Whether all inputs are whole numbers with the batch first."""
    return len({a.shape[:1] for a in feeds.values()}) == 1 and all(
        a.dtype.kind in "iub" for a in feeds.values()
    )


def _found(model: ir.Model, session: Session, feeds: Feeds, bounds: Mapping[str, int]) -> Speaker | None:
    before = session.run(feeds)
    free = {p.name for p in session.inputs if len(p.shape) > 1 and not isinstance(p.shape[1], int)}
    for name, array in feeds.items():
        bound = bounds.get(name, 0)
        if array.ndim != 2 or array.shape[1] < SHORTEST or not bound:
            continue
        for output, scores in before.items():
            if scores.dtype.kind != "f" or scores.ndim != 3 or scores.shape[:2] != array.shape:
                continue
            if 2 * scores.shape[2] > bound and _looks_back_only(session, feeds, scores, name, output):
                return Speaker(model, name, output, min(bound, scores.shape[2]), name in free)
    return None


def _looks_back_only(session: Session, feeds: Feeds, before: Array, tokens: str, scores: str) -> bool:
    """Whether tokens change what stands at their place and behind it, and nothing before."""
    half = feeds[tokens].shape[1] // 2
    changed = feeds[tokens].copy()
    changed[:, half:] = np.roll(changed[:, half:], 1, axis=1)[::-1]
    after = session.run({**feeds, tokens: changed}, [scores])[scores]
    moved = np.abs(after.astype(np.float64) - before).max(axis=(0, 2))
    least = _ROUNDING * float(before.std())
    return bool(moved[:half].max() <= least < moved[half:].max())
