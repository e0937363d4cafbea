"""Transposed convolutions in matrix form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from graphprune.statistics.layout import Array, Layout, Rows, rows_of_patches


@dataclass(frozen=True, slots=True)
class ConvTransposeLayout(Layout):
    """A transposed convolution: the inputs around one position are a row.

    With strides s a kernel of size k = J s is J kernel positions for each of s output positions in turn (the
    phases): output `s m + r - pad` is the sum over j < J of input m - j times kernel position `r + s j`. So
    columns are input channels and, within each, j; outputs are output channels and, within each, r. Rows are
    those m for which all phases lie inside.

    Kernels that are no multiple of the strides, or whose positions are said in another way, are taken apart:
    an input position is a row, every kernel position an output of its own, each contribution is refitted by
    itself. That is exact where kernel positions do not overlap.

    Attributes:
        group: of the operator.
        strides: one for each spatial axis.
        pads: begins, then ends; None where kernels are taken apart.
        extra: `output_padding`, one for each spatial axis.
    """

    group: int
    strides: tuple[int, ...]
    pads: tuple[int, ...] | None = None
    extra: tuple[int, ...] = ()

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        x = np.asarray(x, np.float32)
        taps = self._taps(weight_shape)
        if prod(taps) > 1:
            return self._patches(x, weight_shape, taps, chosen)
        rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
        rows = rows if chosen is None else rows[chosen]
        return np.ascontiguousarray(rows.reshape(len(rows), self.group, -1).transpose(1, 0, 2))

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        if prod(self._taps(weight_shape)) == 1:
            return int(x.size // x.shape[1])
        return int(x.shape[0] * prod(last - first for first, last in self._span(x.shape[2:], weight_shape)))

    def matrix(self, weight: Array) -> Array:
        inputs, outputs, *kernel = weight.shape
        taps = self._taps(weight.shape)
        spatial = len(kernel)
        apart = [n for t, k in zip(taps, kernel, strict=True) for n in (t, k // t)]
        laid = weight.reshape(self.group, inputs // self.group, outputs, *apart)
        order = [0, 2, *(4 + 2 * a for a in range(spatial)), 1, *(3 + 2 * a for a in range(spatial))]
        return laid.transpose(order).reshape(self.group, -1, inputs // self.group * prod(taps))

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        inputs, outputs, *kernel = shape
        taps = self._taps(shape)
        spatial = len(kernel)
        phases = [k // t for t, k in zip(taps, kernel, strict=True)]
        laid = matrix.reshape(self.group, outputs, *phases, inputs // self.group, *taps)
        pairs = [a for k in range(spatial) for a in (3 + spatial + k, 2 + k)]
        return np.ascontiguousarray(laid.transpose([0, 2 + spatial, 1, *pairs])).reshape(shape)

    def outputs(self, y: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows | None:
        if prod(self._taps(weight_shape)) == 1 or self.pads is None:
            return None
        y, spatial = np.asarray(y, np.float32), len(self.strides)
        sizes = [self._input_size(n, a, weight_shape) for a, n in enumerate(y.shape[2:])]
        for axis, (first, last) in enumerate(self._span(sizes, weight_shape)):
            stride, start = self.strides[axis], self.strides[axis] * first - self.pads[axis]
            y = np.take(y, np.arange(start, start + stride * (last - first)), 2 + axis)
        apart = [n for s, size in zip(self.strides, y.shape[2:], strict=True) for n in (size // s, s)]
        laid = y.reshape(len(y), self.group, -1, *apart)
        places, phases = ([3 + 2 * a + late for a in range(spatial)] for late in (0, 1))
        rows = laid.transpose([1, 0, *places, 2, *phases]).reshape(
            self.group, -1, prod(weight_shape[1:2]) * prod(self.strides)
        )
        return rows if chosen is None else rows[:, chosen]

    def bias(self, vector: Array, shape: Sequence[int]) -> Array:
        """Each kernel position contributes, on average, to one output position in `prod(strides)`."""
        channels = int(np.prod(shape, dtype=np.int64))
        total = vector.reshape(channels, -1).sum(axis=1) / np.prod(self.strides)
        return np.asarray(total.reshape(shape))

    def _taps(self, weight_shape: Sequence[int]) -> tuple[int, ...]:
        """Kernel positions that meet at one output position, for each axis; ones if they are taken apart."""
        kernel = tuple(weight_shape[2:])
        if self.pads is None or any(k % s for k, s in zip(kernel, self.strides, strict=True)):
            return (1,) * len(kernel)
        return tuple(k // s for k, s in zip(kernel, self.strides, strict=True))

    def _span(self, sizes: Sequence[int], weight_shape: Sequence[int]) -> list[tuple[int, int]]:
        """First m of each axis at which all phases lie inside the output, and the one behind the last."""
        assert self.pads is not None
        found = []
        for axis, (size, stride, kernel) in enumerate(
            zip(sizes, self.strides, weight_shape[2:], strict=True)
        ):
            begin, end = self.pads[axis], self.pads[len(self.strides) + axis]
            length = stride * (size - 1) + kernel + self._extra(axis) - begin - end
            first = -(-begin // stride)
            found.append((first, max(first, (length + begin) // stride)))
        return found

    def _input_size(self, length: int, axis: int, weight_shape: Sequence[int]) -> int:
        assert self.pads is not None
        around = self.pads[axis] + self.pads[len(self.strides) + axis] - self._extra(axis)
        return int((length + around - weight_shape[2 + axis]) // self.strides[axis] + 1)

    def _extra(self, axis: int) -> int:
        return self.extra[axis] if self.extra else 0

    def _patches(
        self, x: Array, weight_shape: Sequence[int], taps: tuple[int, ...], chosen: Array | None
    ) -> Rows:
        span = self._span(x.shape[2:], weight_shape)
        around = [
            (t - 1, max(0, last - size)) for t, (_, last), size in zip(taps, span, x.shape[2:], strict=True)
        ]
        x = np.pad(x, [(0, 0), (0, 0), *around])
        spatial = tuple(range(2, x.ndim))
        view = np.lib.stride_tricks.sliding_window_view(x, taps, axis=spatial)
        view = view[(slice(None), slice(None), *(slice(first, last) for first, last in span))]
        view = np.flip(view, axis=tuple(range(view.ndim - len(taps), view.ndim)))  # j counts backwards
        return rows_of_patches(view, len(taps), self.group, chosen)
