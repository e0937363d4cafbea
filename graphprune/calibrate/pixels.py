"""What the pixels of a network's pictures are, told by what it does to them first.

Many deployed networks make the numbers that their first layer reads themselves: bytes become real numbers,
are divided by 255, means are taken off, spreads divided by. Read backwards, such steps tell which pixels
come out standardised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.runtime.consumers import permutation, stored_numbers
from graphprune.runtime.feeds import BYTES
from graphprune.runtime.meaning import SIZE_READERS

Array = NDArray[Any]
Floats = NDArray[np.float64]

_DEPTHS = 255, 1  # the largest pixel of pictures that are stored as they are usually
_SPREAD = 4  # in which part of the depth pictures spread
_SCALED = 0.5, 2.5  # what the largest pixel becomes where it is scaled and nothing else
_MOST = 64  # channels


@dataclass(frozen=True, slots=True)
class Pixels:
    """Where the pixels of an input lie.

    Attributes:
        middle: of each channel, to be broadcast with a batch.
        spread: standard deviation, the same.
        lowest, highest: what no pixel is below or above.
        whole: they are whole numbers.
    """

    middle: Floats | float = 0.0
    spread: Floats | float = 1.0
    lowest: float = -np.inf
    highest: float = np.inf
    whole: bool = False

    def of(self, standard: Array) -> Array:
        """Pixels for standardised ones."""
        found = self.inside(standard * self.spread + self.middle)
        return np.rint(found) if self.whole else found

    def inside(self, pixels: Array) -> Array:
        """The same pixels, none outside the limits."""
        return np.clip(pixels, self.lowest, self.highest)


def find_pixels(value: ir.Value) -> Pixels | None:
    """What pixels an input of pictures has; None where nothing is done to them that tells.

    Args:
        value: the input.
    """
    if value.shape is None or value.dtype is None:
        return None
    factor, shift = _first_steps(value, len(value.shape))
    level = -shift / factor  # what becomes zero
    if value.dtype in BYTES:
        limits = np.iinfo(value.dtype.numpy())
        return _stored(level, float(limits.min), float(limits.max), whole=True)
    if not np.any(shift) and np.all(factor == 1):
        return None
    for depth in _DEPTHS:
        if _is_meant(depth, factor, level):
            return _stored(level, 0, depth)
    return Pixels(level, 1 / np.abs(factor))


def _is_meant(depth: float, factor: Floats, level: Floats) -> bool:
    """Whether pixels from zero to `depth` are what such steps are for."""
    if _is_inside(level, 0, depth) or np.allclose(level, depth, rtol=0.01):
        return True
    return not np.any(level) and _SCALED[0] <= depth * float(np.abs(factor).mean()) <= _SCALED[1]


def _is_inside(level: Floats, lowest: float, highest: float) -> bool:
    edge = (highest - lowest) / 8
    return lowest + edge <= float(level.mean()) <= highest - edge


def _stored(level: Floats, lowest: float, highest: float, whole: bool = False) -> Pixels:
    """Pixels between two limits, around what becomes zero if that is neither of them."""
    spread = (highest - lowest) / _SPREAD
    middle = level if _is_inside(level, lowest, highest) else np.full((), (lowest + highest) / 2)
    return Pixels(np.clip(middle, lowest + spread, highest - spread), spread, lowest, highest, whole)


def _first_steps(value: ir.Value, rank: int) -> tuple[Floats, Floats]:
    """What an input is multiplied with, and what is added, before anything else reads it."""
    factor, shift = np.ones((1,) * rank), np.zeros((1,) * rank)
    axes = tuple(range(rank))  # of the input, in the order that they have come to
    while True:
        uses = [(node, at) for node, at in value.uses() if node.op_type not in SIZE_READERS]
        if len(uses) != 1 or uses[0][0].domain or len(uses[0][0].outputs) != 1:
            return factor, shift
        node, position = uses[0]
        value = node.outputs[0]
        if node.op_type in ("Identity", "Cast"):
            continue
        if node.op_type == "Transpose":
            axes = tuple(axes[a] for a in permutation(node, rank))
            continue
        step = _affine(node, position, rank)
        if step is None:
            return factor, shift
        back = np.argsort(axes)
        times, plus = (np.transpose(a.reshape((1,) * (rank - a.ndim) + a.shape), back) for a in step)
        factor, shift = factor * times, shift * times + plus
        if node.op_type == "BatchNormalization":
            return factor, shift


def _affine(node: ir.Node, position: int, rank: int) -> tuple[Array, Array] | None:
    """Factor and shift of a node that multiplies or adds constants, one for each channel at most."""
    if node.op_type == "BatchNormalization" and position == 0:
        return _standardised(node, rank)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    other = stored_numbers(node.inputs[1 - position], _MOST)
    if other is None or other.ndim > rank:
        return None
    other = np.asarray(other, np.float64)
    one, nothing = np.ones(()), np.zeros(())
    if node.op_type == "Add":
        return one, other
    if node.op_type == "Sub":
        return (one, -other) if position == 0 else (-one, other)
    if not np.all(other) or (node.op_type == "Div" and position == 1):
        return None
    return (other if node.op_type == "Mul" else 1 / other), nothing


def _standardised(node: ir.Node, rank: int) -> tuple[Array, Array] | None:
    """What a batch normalisation does, but for its own scale and bias."""
    stored = [stored_numbers(v, _MOST) for v in node.inputs[3:5]]
    if any(s is None for s in stored) or rank < 2:
        return None
    mean, variance = (np.asarray(s, np.float64).reshape(-1, *(1,) * (rank - 2)) for s in stored)
    if not (variance > 0).all():
        return None
    return 1 / np.sqrt(variance), -mean / np.sqrt(variance)
