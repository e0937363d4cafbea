"""Streaming moments of rows: count, mean and covariance, exact up to the rounding of float32 products.

Products are made in float32 on rows that are centred by the mean of the first batch, and added up in float64,
which loses nothing that matters and is several times as fast; only rows so large that squares of them would
overflow are multiplied in float64. Rows that hold NaN or infinity say nothing about the others and are left
out, with their targets. Source of the update: Chan, Golub and LeVeque, "Algorithms for computing the sample
variance" (1983).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LARGE = 1e15  # products of larger numbers, added up, may leave float32


@dataclass(slots=True)
class Moments:
    """Joint moments of rows `h` (columns) and, optionally, of targets `y` (outputs), of one block.

    Shapes: `columns`, `(columns, columns)`, `outputs`, `(outputs, columns)`.

    Attributes:
        count: rows taken in.
        left_out: rows that were not, because they or their targets are not finite.
    """

    count: int = 0
    left_out: int = 0
    _waiting: list[tuple[NDArray[np.float32], NDArray[np.float32] | None]] = field(default_factory=list)
    _waiting_rows: int = 0
    _shift: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _shift_y: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _sum: Floats = field(default_factory=lambda: np.zeros(0))
    _sum_y: Floats = field(default_factory=lambda: np.zeros(0))
    _products: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    _cross: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    _squares_y: Floats = field(default_factory=lambda: np.zeros(0))

    def add(self, rows: NDArray[np.float32], targets: NDArray[np.float32] | None = None) -> None:
        """Take in rows `(n, columns)` and targets `(n, outputs)`.

        Few rows wait for more, because adding up a large matrix costs the same for one row as for hundreds.
        """
        rows, targets = self._finite(rows, targets)
        if not len(rows):
            return
        self.count += len(rows)
        self._waiting.append((rows, targets))
        self._waiting_rows += len(rows)
        if self._waiting_rows >= max(512, rows.shape[1] // 2):
            self._settle()

    def _finite(
        self, rows: NDArray[np.float32], targets: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Those of the rows that are finite and have finite targets."""
        good = np.isfinite(rows).all(axis=1)
        if targets is not None:
            good &= np.isfinite(targets).all(axis=1)
        if good.all():
            return rows, targets
        self.left_out += int((~good).sum())
        return rows[good], None if targets is None else targets[good]

    def _settle(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate([r for r, _ in self._waiting])
        given = [t for _, t in self._waiting if t is not None]
        targets = np.concatenate(given) if given else None
        self._waiting.clear()
        self._waiting_rows = 0
        if not self._sum.size:
            columns = rows.shape[1]
            self._shift = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            self._sum, self._products = np.zeros(columns), np.zeros((columns, columns))
            if targets is not None:
                outputs = targets.shape[1]
                self._shift_y = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
                self._sum_y, self._squares_y = np.zeros(outputs), np.zeros(outputs)
                self._cross = np.zeros((outputs, columns))
        centred = _exact(rows - self._shift)
        self._sum += centred.sum(axis=0, dtype=np.float64)
        self._products += centred.T @ centred
        if targets is not None:
            y = _exact(targets - self._shift_y)
            self._sum_y += y.sum(axis=0, dtype=np.float64)
            self._squares_y += np.square(y, dtype=np.float64).sum(axis=0)
            self._cross += y.T @ centred

    @property
    def mean(self) -> Floats:
        """Mean of the rows."""
        self._settle()
        return self._shift + self._sum / max(1, self.count)

    @property
    def mean_y(self) -> Floats:
        """Mean of the targets."""
        self._settle()
        return self._shift_y + self._sum_y / max(1, self.count)

    @property
    def covariance(self) -> Floats:
        """Covariance of the rows, divided by their number."""
        self._settle()
        mean = self._sum / max(1, self.count)
        return self._products / max(1, self.count) - np.outer(mean, mean)

    @property
    def second(self) -> Floats:
        """Second moment of the rows, not centred."""
        return self.covariance + np.outer(self.mean, self.mean)

    @property
    def cross(self) -> Floats:
        """Covariance of targets and rows."""
        self._settle()
        n = max(1, self.count)
        return self._cross / n - np.outer(self._sum_y / n, self._sum / n)

    @property
    def variance_y(self) -> Floats:
        """Variance of each target."""
        self._settle()
        n = max(1, self.count)
        return np.maximum(self._squares_y / n - (self._sum_y / n) ** 2, 0)

    def merged(self, other: Moments) -> Moments:
        """Moments of both sets of rows."""
        self._settle()
        other._settle()
        left_out = self.left_out + other.left_out
        if not self.count or not other.count:
            return replace(self if self.count else other, left_out=left_out)
        total = Moments(self.count + other.count, left_out, _shift=self._shift, _shift_y=self._shift_y)
        step, step_y = (
            other._shift.astype(np.float64) - self._shift,
            other._shift_y.astype(np.float64) - self._shift_y,
        )
        # Rows of the other, centred by this shift: h - s = (h - t) + step.
        moved = np.outer(other._sum, step)
        total._sum = self._sum + other._sum + other.count * step
        total._products = (
            self._products + other._products + moved + moved.T + other.count * np.outer(step, step)
        )
        if self._sum_y.size:
            total._sum_y = self._sum_y + other._sum_y + other.count * step_y
            total._squares_y = (
                self._squares_y + other._squares_y + 2 * step_y * other._sum_y + other.count * step_y**2
            )
            total._cross = (
                self._cross
                + other._cross
                + np.outer(other._sum_y, step)
                + np.outer(step_y, other._sum)
                + other.count * np.outer(step_y, step)
            )
        return total


def _exact(rows: NDArray[np.float32]) -> NDArray[Any]:
    """Rows in a type that holds sums of their products."""
    return rows.astype(np.float64) if np.abs(rows).max(initial=0.0) > _LARGE else rows
