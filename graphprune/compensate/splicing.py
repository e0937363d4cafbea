"""More inputs from few: sequences whose beginning is of one sample and whose end is of another.

Where the outputs of the original are the target, nobody has to know what an input means: it need only be
like real ones in every part. For sequences of ids that is CutMix (Yun et al., ICCV 2019) along the positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Feeds = Mapping[str, Array]


def spliced(batches: Sequence[Feeds], copies: int, random: np.random.Generator) -> list[Feeds]:
    """Batches like those given, each some times, made of two samples each; none if inputs are no sequences.

    Args:
        batches: with the samples first.
        copies: of each batch.
        random: chooses the partners and the places.
    """
    if not batches or not all(map(_are_sequences, batches)):
        return []
    many = [b for b in batches if len(next(iter(b.values()))) > 1]
    return [_once(feeds, random) for _ in range(copies) for feeds in many]


def _are_sequences(feeds: Feeds) -> bool:
    """Whether every input has an id, or a mark, at each of the same positions."""
    shapes = {a.shape for a in feeds.values()}
    ids = all(a.ndim == 2 and a.dtype.kind in "iu" for a in feeds.values())
    return ids and len(shapes) == 1 and min(shapes.pop()) > 1


def _once(feeds: Feeds, random: np.random.Generator) -> Feeds:
    size, length = next(iter(feeds.values())).shape
    partner = (np.arange(size) + random.integers(1, size)) % size
    ends = random.integers(1, length, (size, 1))
    mine = np.arange(length) < ends
    return {n: np.where(mine, a, a[partner]) for n, a in feeds.items()}
