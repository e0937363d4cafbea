"""What each sample is mixed with: another one at random, and of pictures half of the time one of the nearest.

What lies between two samples that are alike looks most like one that could have been given: SMOTE (Chawla et
al., JAIR 2002).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.calibrate.pictures import spatial_axes

Array = NDArray[Any]
Feeds = Mapping[str, Array]
NEAR, NEAREST = 0.5, 8  # share of pictures that meet one of so many nearest
_CANDIDATES = 1024  # samples that the nearest are looked for among
_COMPARED = 4096  # pixels of a picture that tell how near it is


class Pool:
    """Batches of the same shapes, whose samples are mixed with one another.

    Args:
        batches: valid feeds, at least two samples in all.
    """

    def __init__(self, batches: Sequence[Feeds]) -> None:
        self.batches = batches
        self.size = len(next(iter(batches[0].values())))
        self._count = self.size * len(batches)
        self._nearest: dict[int, Array] = {}

    def partners(self, number: int, random: np.random.Generator) -> Feeds:
        """One for each sample of a batch; of a picture, one of the nearest half of the time."""
        chosen = random.integers(0, self._count, self.size)
        if self._candidates is not None:
            near = self._nearest_to(number, *self._candidates)
            one = near[np.arange(self.size), random.integers(0, near.shape[1], self.size)]
            chosen = np.where(random.random(self.size) < NEAR, one, chosen)
        places = [divmod(int(k), self.size) for k in chosen]
        return {n: np.stack([self.batches[k][n][row] for k, row in places]) for n in self.batches[0]}

    @functools.cached_property
    def _candidates(self) -> tuple[Array, Array] | None:
        """Numbers of the samples that are looked among, and a row of each; None without pictures."""
        if not self._pictures:
            return None
        numbers = np.arange(0, self._count, -(-self._count // _CANDIDATES))
        taken = (
            self._rows(k)[numbers[numbers // self.size == k] % self.size] for k in range(len(self.batches))
        )
        return numbers, np.vstack(list(taken))

    @property
    def _pictures(self) -> list[str]:
        first = self.batches[0].items()
        return [n for n, a in first if a.dtype.kind == "f" and spatial_axes(a.shape)]

    def _rows(self, number: int) -> Array:
        """The pictures of a batch as far as they are compared, `(samples, pixels)`."""
        flat = [np.float32(self.batches[number][n]).reshape(self.size, -1) for n in self._pictures]
        rows = np.hstack(flat)
        return np.ascontiguousarray(rows[:, :: -(-rows.shape[1] // _COMPARED)])

    def _nearest_to(self, number: int, numbers: Array, rows: Array) -> Array:
        """Numbers of the candidates nearest to each sample of a batch, `(samples, NEAREST)`."""
        if number not in self._nearest:
            distances = np.square(rows).sum(axis=1) - 2 * self._rows(number) @ rows.T
            own = number * self.size + np.arange(self.size)
            distances[own[:, None] == numbers] = np.inf
            nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(NEAREST, len(numbers) - 1)]
            self._nearest[number] = numbers[nearest]
        return self._nearest[number]
