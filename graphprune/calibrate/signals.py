"""Sequences of numbers made up for a model that comes without inputs.

What is measured over time varies slowly, as pictures do over space; white noise tells a recurrent network
next to nothing of what it was trained on. Nothing says whether an input is `(samples, time, features)` or
`(samples, channels, time)`, so what varies slowly goes along either axis or both in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.calibrate.pictures import pictures

Array = NDArray[Any]
LONG = 8  # steps of an axis along which something can vary slowly
_EXPONENTS = 0.4, 1.2  # with which amplitudes fall with frequency


def slow_axes(shape: tuple[int, ...], samples: int) -> tuple[int, ...]:
    """The axes of a sequence that may be time.

    A state that a recurrent network is handed on has no time: its samples do not come first.
    """
    if len(shape) != 3 or shape[0] != samples:
        return ()
    found = tuple(k for k in (1, 2) if shape[k] >= LONG)
    return found if samples > 1 or len(found) > 1 else ()


def signals(shape: tuple[int, ...], axes: tuple[int, ...], random: np.random.Generator, turn: int) -> Array:
    """Standardised sequences, each slow along one axis; every other turn as a picture along both.

    Args:
        shape: three axes, samples first.
        axes: that may be time, one or two of them.
        random: draws them.
        turn: a number from 0; chooses among the axes.
    """
    if len(axes) > 1 and turn % 2 == 0:  # a spectrogram, the rows of a picture
        return pictures((shape[0], 1, *shape[1:]), (2, 3), random, 2)[:, 0]
    axis = axes[turn // 2 % len(axes)]
    long, beside = shape[axis], shape[3 - axis]
    drawn = np.stack([coloured((beside, long), random, random.uniform(*_EXPONENTS)) for _ in range(shape[0])])
    size = random.uniform(0.5, 1.3, (shape[0], 1, 1))
    found = drawn * size + random.normal(0, 0.4, (shape[0], beside, 1))
    return np.moveaxis(found, 2, axis)


def coloured(shape: tuple[int, ...], random: np.random.Generator, exponent: float) -> Array:
    """Noise whose amplitude falls with frequency along the last axis, of unit variance there."""
    frequencies = np.fft.rfftfreq(shape[-1])
    frequencies[0] = frequencies[1]
    waves = random.standard_normal((2, *shape[:-1], len(frequencies)))
    found = np.fft.irfft((waves[0] + 1j * waves[1]) / frequencies**exponent, n=shape[-1])
    return np.asarray(found / found.std(axis=-1, keepdims=True))
