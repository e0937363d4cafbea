"""Linear operators in matrix form: how inputs become rows and weights become matrices.

Every operator that multiplies by a weight computes `y = H W^T + b` for some matrix H whose rows are made of
its input. A layout knows how. The matrices have a leading axis of blocks, because grouped convolutions and
stacked MatMuls are several independent products; a convolution's columns run over input channels and, within
each, over kernel positions, so a channel owns consecutive columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.float32]


class Layout(ABC):
    """One operator in matrix form: `blocks` products of `rows` by `columns`."""

    @abstractmethod
    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        """The input as rows, shape `(blocks, rows, columns)`; only the `chosen` rows if given."""

    @abstractmethod
    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        """How many rows an input makes in each block."""

    @abstractmethod
    def matrix(self, weight: Array) -> Array:
        """A weight as matrices, shape `(blocks, outputs, columns)`."""

    @abstractmethod
    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The weight again, from what `matrix` gave."""

    def outputs(self, y: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows | None:
        """A tensor shaped like the output as rows `(blocks, rows, outputs)`; None if it has no such form."""
        return None

    def bias(self, vector: Array, shape: Sequence[int]) -> Array:
        """A correction of shape `(blocks, outputs)` in the shape of the operator's bias."""
        return vector.reshape(shape)

    def trailing(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Sizes of a bias that can be added to the output, if outputs are its last axes; () if not."""
        return ()


@dataclass(frozen=True, slots=True)
class MatMulLayout(Layout):
    """`x @ w`, or `x @ w^T` if `turned`; weights of more than two axes are stacked products."""

    turned: bool = False

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        found = self._flat(x, weight_shape)
        return found if chosen is None else found[:, chosen]

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        return int(x.size // x.shape[-1] // np.prod(weight_shape[:-2], dtype=np.int64))

    def matrix(self, weight: Array) -> Array:
        flat = weight.reshape(-1, *weight.shape[-2:])
        return flat if self.turned else flat.transpose(0, 2, 1)

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        return (matrix if self.turned else matrix.transpose(0, 2, 1)).reshape(shape)

    def outputs(self, y: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows | None:
        return self.rows(y, weight_shape, chosen)

    def trailing(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (shape[-2 if self.turned else -1],) if len(shape) == 2 else ()

    @staticmethod
    def _flat(x: Array, weight_shape: Sequence[int]) -> Rows:
        lead = tuple(weight_shape[:-2])
        blocks = int(np.prod(lead, dtype=np.int64))
        x = np.asarray(x, np.float32)
        if blocks == 1:
            return x.reshape(1, -1, x.shape[-1])
        # Axes before the stacked ones are samples, the one after them are rows.
        x = x.reshape(-1, blocks, *x.shape[-2:]).transpose(1, 0, 2, 3)
        return x.reshape(blocks, -1, x.shape[-1])


@dataclass(frozen=True, slots=True)
class ConvLayout(Layout):
    """A convolution: rows are patches, with the true padding, stride, dilation and groups.

    Attributes:
        group: of the operator.
        strides: one for each spatial axis.
        dilations: one for each spatial axis.
        pads: begins, then ends; () where `auto` says.
        auto: `auto_pad` of the operator.
    """

    group: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto: str = "NOTSET"

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        view, spatial = self._patches(np.asarray(x, np.float32), weight_shape)
        return rows_of_patches(view, spatial, self.group, chosen)

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        view, spatial = self._patches(x, weight_shape)
        return int(view.shape[0] * np.prod(view.shape[2 : 2 + spatial], dtype=np.int64))

    def matrix(self, weight: Array) -> Array:
        return weight.reshape(self.group, weight.shape[0] // self.group, -1)

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        return matrix.reshape(shape)

    def outputs(self, y: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows | None:
        rows = np.moveaxis(np.asarray(y, np.float32), 1, -1).reshape(-1, y.shape[1])
        rows = rows if chosen is None else rows[chosen]
        return rows.reshape(len(rows), self.group, -1).transpose(1, 0, 2)

    def _patches(self, x: Array, weight_shape: Sequence[int]) -> tuple[Array, int]:
        kernel = tuple(weight_shape[2:])
        spatial = len(kernel)
        begins, ends = self._padding(x.shape[2:], kernel)
        if any(begins) or any(ends):
            x = np.pad(x, [(0, 0), (0, 0), *zip(begins, ends, strict=True)])
        reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, self.dilations, strict=True))
        view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(2, 2 + spatial)))
        step = (slice(None), slice(None), *(slice(None, None, s) for s in self.strides))
        return view[(*step, *(slice(None, None, d) for d in self.dilations))], spatial

    def _padding(self, sizes: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int]]:
        if self.auto in ("SAME_UPPER", "SAME_LOWER"):
            begins, ends = [], []
            for n, k, s, d in zip(sizes, kernel, self.strides, self.dilations, strict=True):
                missing = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
                small, large = missing // 2, missing - missing // 2
                begins.append(small if self.auto == "SAME_UPPER" else large)
                ends.append(large if self.auto == "SAME_UPPER" else small)
            return begins, ends
        if self.auto == "VALID" or not self.pads:
            return [0] * len(kernel), [0] * len(kernel)
        return list(self.pads[: len(kernel)]), list(self.pads[len(kernel) :])


def rows_of_patches(view: Array, spatial: int, group: int, chosen: Array | None) -> Rows:
    """Patches `(samples, channels, *places, *kernel)` as rows `(group, rows, columns)`; only the `chosen`."""
    samples, places = view.shape[0], view.shape[2 : 2 + spatial]
    total = samples * int(np.prod(places, dtype=np.int64))
    chosen = np.arange(total) if chosen is None else chosen
    where = np.unravel_index(chosen, (samples, *places))
    index: tuple[Any, ...] = (where[0], slice(None), *where[1:])
    patches = view[index]  # rows, channels, *kernel
    rows = patches.reshape(len(chosen), group, -1)
    return np.ascontiguousarray(rows.transpose(1, 0, 2))


@dataclass(frozen=True, slots=True)
class RecurrentLayout(Layout):
    """The input weights of a recurrent operator, `(directions, gates * hidden, inputs)`; one block each."""

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        flat = np.asarray(x, np.float32).reshape(-1, x.shape[-1])
        flat = flat if chosen is None else flat[chosen]
        return np.broadcast_to(flat, (weight_shape[0], *flat.shape))

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        return int(x.size // x.shape[-1])

    def matrix(self, weight: Array) -> Array:
        return weight

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        return matrix.reshape(shape)

    def bias(self, vector: Array, shape: Sequence[int]) -> Array:
        """The first half belongs to the inputs, the second to the states."""
        return np.concatenate([vector, np.zeros_like(vector)], axis=1).reshape(shape)


@dataclass(frozen=True, slots=True)
class StateLayout(Layout):
    """The recurrent weights: rows are the states `(steps, directions, batch, hidden)` the operator gives."""

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        directions, hidden = weight_shape[0], weight_shape[2]
        x = np.asarray(x, np.float32).reshape(-1, directions, x.shape[-2], hidden)
        rows = x.transpose(1, 0, 2, 3).reshape(directions, -1, hidden)
        return rows if chosen is None else rows[:, chosen]

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        return int(x.size // weight_shape[0] // weight_shape[2])

    def matrix(self, weight: Array) -> Array:
        return weight

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        return matrix.reshape(shape)

    def bias(self, vector: Array, shape: Sequence[int]) -> Array:
        """The second half of the bias belongs to the states."""
        return np.concatenate([np.zeros_like(vector), vector], axis=1).reshape(shape)
