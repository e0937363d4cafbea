"""Sequences of tokens made up for a model that cannot write any itself.

Ids drawn evenly from a whole table are alike wherever one looks: a network gives all of them about the same
answer, and what it does with others is never seen. What is written uses few of its symbols much and most of
them hardly ever (Zipf, 1949), neighbours in a table go together (letters, digits, bytes of one kind), and
things repeat; how much of each differs from sample to sample here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_SHORTEST = 8  # positions of what may be a sequence
_STEEPEST = 1.5  # exponent with which use falls from one symbol to the next
_MOST_REPEATS = 0.5  # of the tokens, that are as one shortly before
_FEWEST = 2  # symbols of a sample


def may_be_sequences(array: NDArray[Any]) -> bool:
    """Whether token ids are `(samples, positions)`, and enough of them to be sequences."""
    return array.ndim == 2 and array.shape[1] >= _SHORTEST


def sequences(shape: tuple[int, int], bound: int, random: np.random.Generator) -> Ints:
    """Token ids, `(samples, positions)`, below a bound; each sample has symbols of its own.

    Args:
        shape: samples and positions.
        bound: rows of the table that they index.
        random: draws them.
    """
    return np.stack([_sequence(shape[1], bound, random) for _ in range(shape[0])])


def _sequence(length: int, bound: int, random: np.random.Generator) -> Ints:
    count = min(bound, max(_FEWEST, round(math.exp(random.uniform(0, math.log(max(bound, 2)))))))
    if random.random() < 0.5:
        symbols = int(random.integers(0, bound - count + 1)) + random.permutation(count)
    else:
        symbols = random.choice(bound, count, replace=False)
    use = np.arange(1, count + 1) ** -random.uniform(0, _STEEPEST)
    drawn: Ints = symbols[random.choice(count, length, p=use / use.sum())].astype(np.int64)
    repeats = random.random(length) < random.uniform(0, _MOST_REPEATS)
    back = random.integers(1, 9, length)
    for k in np.flatnonzero(repeats):
        drawn[k] = drawn[max(0, k - back[k])]
    return drawn
