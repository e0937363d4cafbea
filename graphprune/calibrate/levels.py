"""What the first normalisation of a network says of its inputs: the level and spread of their channels.

Batch normalisation keeps the mean and variance that each of its channels had in training. Where inputs come
there by nothing but products and sums, these follow from the mean and variance of the inputs' own channels,
which are found by least squares: the first term of what ZeroQ (Cai et al., CVPR 2020) fits made-up inputs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.pictures import spatial_axes
from graphprune.runtime.bodies import fetch
from graphprune.runtime.consumers import stored_numbers
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.meaning import behind

Array = NDArray[Any]
Floats = NDArray[np.float64]
Feeds = Mapping[str, Array]

_MOST = 64  # channels of an input that are told apart
_ROUNDING = 1e-3  # of what an input changes, by which changes of two do not add up
_LEAST = 1e-3  # of the common spread, that a channel has at least


@dataclass(frozen=True, slots=True)
class Levels:
    """Mean and spread of each channel of an input, in the shape of one sample.

    Attributes:
        input: its name.
        mean, spread: to be broadcast.
        norm: name of the normalisation that says so.
    """

    input: str
    mean: Floats
    spread: Floats
    norm: str

    def applied(self, standard: Array) -> Array:
        """Standard normal numbers brought to these levels."""
        return np.asarray((standard * self.spread + self.mean).astype(standard.dtype))


def first_levels(model: ir.Model, feeds: Feeds) -> Levels | None:
    """What the first batch normalisation says of the input that it reads; None if none does.

    Args:
        model: the normalised model.
        feeds: valid ones, with standard normal numbers where an input is real.
    """
    for norm in model.graph:
        if norm.op_type == "BatchNormalization" and not norm.domain and len(norm.outputs) == 1:
            stored = [stored_numbers(v, 1 << 20) for v in norm.inputs[3:5]]
            if all(s is not None for s in stored):
                mean, variance = (np.asarray(s, np.float64).ravel() for s in stored)
                return _levels(model, norm, mean, variance, feeds)
    return None


def _levels(model: ir.Model, norm: ir.Node, mean: Floats, variance: Floats, feeds: Feeds) -> Levels | None:
    read = norm.inputs[0]
    if read is None:
        return None
    sources = behind([read])
    names = (str(v.name) for v in real_inputs(model) if v in sources)
    for name in (n for n in names if feeds[n].dtype.kind == "f" and feeds[n].ndim > 1):
        probes = _Probes(model, read, name, feeds)
        if probes.straight():
            return Levels(name, *probes.solved(mean, variance), str(norm.name))
    return None


class _Probes:
    """What reaches a normalisation when one input is changed."""

    def __init__(self, model: ir.Model, read: ir.Value, name: str, feeds: Feeds) -> None:
        self._model, self._read, self._name, self._feeds = model, read, name, feeds
        # Signs have variance one however few there are.
        self._noise = np.where(feeds[name] < 0, -1, 1).astype(feeds[name].dtype)
        self._axis = _channel_axis(self._noise.shape)

    def _seen(self, arrays: Sequence[Array]) -> list[Floats]:
        found = [a.astype(self._noise.dtype) for a in arrays]
        if self._read.producer() is not None:
            feeds = ({**self._feeds, self._name: a} for a in found)
            found = [f[str(self._read.name)] for f in fetch(self._model, [self._read], feeds)]
        return [a.astype(np.float64) for a in found]

    def straight(self) -> bool:
        """Whether the normalisation reads a sum of products of the input."""
        one, other = self._noise, self._noise[::-1].copy()
        other = np.roll(other, 1, axis=-1)
        zero, first, second, both = self._seen([0 * one, one, other, one + other])
        moved = float(np.abs(first - zero).max())
        return moved > 0 and float(np.abs(both - first - second + zero).max()) <= _ROUNDING * moved

    def solved(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """The mean and spread at which the normalisation sees its own mean and variance."""
        masks = self._masks()
        zero, *seen = self._seen([0 * self._noise, *masks, *(m * self._noise for m in masks)])
        moved, spread = seen[: len(masks)], seen[len(masks) :]
        means = np.stack([_by_channel(a - zero) for a in moved], axis=1)
        powers = np.stack([_by_channel((a - zero) ** 2) for a in spread], axis=1)
        unit = np.sqrt(np.maximum(variance, 1e-6 * max(float(variance.mean()), 1e-30)))
        level = _least_squares(means / unit[:, None], (mean - _by_channel(zero)) / unit)
        power = _least_squares(powers / unit[:, None] ** 2, variance / unit**2)
        together = _least_squares(powers.sum(axis=1, keepdims=True) / unit[:, None] ** 2, variance / unit**2)
        if not (power > _LEAST * together).all():  # no spread is negative: one for all channels
            power = np.broadcast_to(together, power.shape)
        shape = [1] * self._noise.ndim
        if self._axis is not None:
            shape[self._axis] = len(masks)
        return level.reshape(shape), np.sqrt(power).reshape(shape)

    def _masks(self) -> list[Array]:
        """Ones at one channel each, zeros elsewhere; ones everywhere where channels are not told apart."""
        whole = np.ones(self._noise.shape)
        if self._axis is None:
            return [whole]
        own = np.eye(self._noise.shape[self._axis])
        shape = [1] * self._noise.ndim
        shape[self._axis] = -1
        return [whole * row.reshape(shape) for row in own]


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """The axis that is neither samples nor space; None where its entries are too many, or not known."""
    left = [k for k in range(1, len(shape)) if k not in spatial_axes(shape)]
    return left[0] if len(left) == 1 and 1 < shape[left[0]] <= _MOST else None


def _by_channel(values: Floats) -> Floats:
    """Means over everything but the second axis, along which normalisation goes."""
    return np.asarray(values.mean(axis=tuple(k for k in range(values.ndim) if k != 1)))


def _least_squares(rows: Floats, wanted: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(rows, wanted, rcond=1e-6)[0])
