"""Steps of descent from gradients: Adam, and Adam in the basis in which a matrix's gradients are independent.

Adam (Kingma and Ba, ICLR 2015) measures every weight by itself. What comes out of a linear operator, though,
depends on combinations of its weights that belong together, along which gradients have quite different
sizes. SOAP (Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", ICLR 2025) turns rows and
columns of a matrix to the eigenvectors of its gradients' second moments (Shampoo: Gupta et al., ICML 2018),
is Adam there, and turns the step back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

LARGEST = 400  # rows or columns that are turned; what has more stays as it is along these
_FIRST, _SECOND = 0.9, 0.999  # moments of Adam
_TURNED = 0.95  # the second moment, and the basis, of SOAP
_PRODUCTS = 4  # of a matrix with each of its sides in a step: its second moments, two turns and one back
_EVERY = 10  # steps after which the basis is renewed
_TINY = 1e-6  # of the largest root of the second moments


class Adam:
    """Steps for one array, each entry about one in size.

    Attributes:
        work: of one step, in multiply-adds, besides what every entry costs.
    """

    def __init__(self, second: float = _SECOND) -> None:
        self.work = 0
        self._share, self._steps = second, 0
        self._first: Array | None = None
        self._second: Floats | None = None

    def step(self, slope: Array) -> Array:
        """The next step, to be subtracted, from a gradient of any shape that stays the same."""
        return self._scaled(self._averaged(slope), slope)

    def _averaged(self, slope: Array) -> Array:
        """The first moment without its bias."""
        self._steps += 1
        before = np.zeros_like(slope) if self._first is None else self._first
        self._first = _FIRST * before + (1 - _FIRST) * slope
        return self._first / np.float32(1 - _FIRST**self._steps)

    def _scaled(self, mean: Array, slope: Array) -> Array:
        """A mean in units of what gradients are in size."""
        before = np.zeros(slope.shape) if self._second is None else self._second
        self._second = self._share * before + (1 - self._share) * np.square(slope, dtype=np.float64)
        root = np.sqrt(self._second / (1 - self._share**self._steps))
        return np.asarray(mean / (root + 1e-12 + _TINY * float(root.max(initial=0.0))), np.float32)


class Soap(Adam):
    """Steps for matrices, `(matrices, rows, columns)` in whatever shape they are stored.

    Args:
        shape: these three sizes.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(_TURNED)
        self._shape = shape
        self._unit = np.float32(0)
        self._sides: list[_Side | None] = [_Side() if 1 < s <= LARGEST else None for s in shape[1:]]
        turned = sum(s for s, side in zip(shape[1:], self._sides, strict=True) if side)
        self.work = _PRODUCTS * math.prod(shape) * turned

    def step(self, slope: Array) -> Array:
        """The next step, to be subtracted, from a gradient of any shape that stays the same."""
        if not self._unit:  # steps do not depend on it, and squares stay numbers
            self._unit = np.float32(max(float(np.abs(slope).max(initial=0.0)), 1e-30))
        slope = slope / self._unit
        matrices = slope.reshape(self._shape)
        mean = self._averaged(slope).reshape(self._shape)
        rows, columns = self._sides
        if rows is not None:
            order = rows.renewed(matrices @ matrices.mT, self._steps)
            self._reorder(order, -2)
        if columns is not None:
            order = columns.renewed(matrices.mT @ matrices, self._steps)
            self._reorder(order, -1)
        turned = self._scaled(self._turn(mean), self._turn(matrices))
        return self._turn(turned, back=True).reshape(slope.shape)

    def _turn(self, matrices: Array, back: bool = False) -> Array:
        rows, columns = (None if s is None else s.basis for s in self._sides)
        if rows is not None:
            matrices = (rows if back else rows.mT) @ matrices
        if columns is not None:
            matrices = matrices @ (columns.mT if back else columns)
        return matrices

    def _reorder(self, order: NDArray[np.int64] | None, axis: int) -> None:
        """Second moments belong to directions, whose order changes."""
        if order is not None and self._second is not None:
            index = order[..., None] if axis == -2 else order[..., None, :]
            self._second = np.take_along_axis(self._second, index, axis)


class _Side:
    """The eigenvectors of a moving average of second moments, largest first."""

    def __init__(self) -> None:
        self._moments: Floats | None = None
        self.basis: Array | None = None

    def renewed(self, moments: Array, step: int) -> NDArray[np.int64] | None:
        """Take in a second moment; where the basis is renewed, the former place of each direction."""
        before = np.zeros(moments.shape) if self._moments is None else self._moments
        self._moments = _TURNED * before + (1 - _TURNED) * moments.astype(np.float64)
        if self.basis is None:
            self.basis = np.linalg.eigh(self._moments)[1][..., ::-1].astype(np.float32)
            return None
        if step % _EVERY:
            return None
        # One step of power iteration is enough, since the basis was right a few steps ago.
        grown = self._moments @ self.basis
        sizes = (self.basis * grown).sum(axis=-2)
        order = np.argsort(-sizes, axis=-1, kind="stable")
        self.basis = np.linalg.qr(np.take_along_axis(grown, order[..., None, :], -1))[0].astype(np.float32)
        return order
