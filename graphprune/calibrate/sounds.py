"""Sounds made up for a model that comes without inputs.

White noise tells a network for sounds nothing of speech or music, and is far too loud: sounds are numbers
below one, mostly far below. So there are voices one after another and at the same time: tones or noise,
coloured by a few resonances (the source-filter model: Fant, Acoustic Theory of Speech Production,
1960), with pauses between, over a ground of coloured noise whose spectrum falls as that of music and speech
does (Voss and Clarke, Nature 1975). Frequencies are shares of the sampling rate, because nothing says what
that is.
"""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.signals import coloured
from graphprune.runtime.meaning import uses_of_numbers

Array = NDArray[Any]
LONG = 256  # samples that a sound has at least
_HEARING = frozenset({"Conv", "STFT", "DFT"})  # read by these, a row of numbers is a sound
_SECTION = 800, 8000  # samples of a sound between two others
_PITCH, _GLIDE = (0.004, 0.03), 0.1  # periods for each sample; a share of it
_RESONANCE = 0.015, 0.25  # of the sampling rate; and how wide
_WIDTH = 0.004, 0.02
_TONES, _NOISES = 0.5, 0.25  # of the sections; the others are pauses
_LOUD, _GROUND = (-2.0, -0.5), (-4.0, -1.5)  # decimal logarithms of standard deviations
_LEVELS, _FALLING = (-3.0, 0.1), (0.4, 1.2)  # the same of what is no sound; how its spectrum falls
_VOICES = 3  # at the same time, at most


def sound_axis(value: ir.Value, shape: tuple[int, ...], free: bool, flow: nx.DiGraph[ir.Value]) -> int | None:
    """The axis along which an input of real numbers is a sound; None if it is none.

    Args:
        value: the input.
        shape: of an array for it.
        free: sounds may have any length.
        flow: from `value_flow`.
    """
    axes = [k for k in range(1, len(shape)) if shape[k] != 1]
    if len(shape) not in (2, 3) or len(axes) != 1 or shape[axes[0]] < LONG:
        return None
    if len(shape) == 3 or free or any(node.op_type in _HEARING for node, _ in uses_of_numbers(value, flow)):
        return axes[0]
    return None  # rather a row of a table


def sounds(count: int, length: int, random: np.random.Generator) -> Array:
    """Sounds between -1 and 1, about: (count, length)."""
    return np.stack([_sound(length, random) for _ in range(count)])


def measured(count: int, length: int, random: np.random.Generator) -> Array:
    """Numbers that vary slowly, at any level: (count, length). Not all that looks like a sound is one."""
    levels = [10 ** random.uniform(*_LEVELS) for _ in range(count)]
    return np.stack([coloured((length,), random, random.uniform(*_FALLING)) * level for level in levels])


def _sound(length: int, random: np.random.Generator) -> Array:
    found = coloured((length,), random, random.uniform(0, 1)) * 10 ** random.uniform(*_GROUND)
    for _ in range(int(random.integers(1, _VOICES + 1))):
        at = -int(random.integers(0, _SECTION[1]))  # one has begun before
        while at < length:
            section = _section(int(random.integers(*_SECTION)), random)
            first, last = max(at, 0), min(at + len(section), length)
            if first < last:
                found[first:last] += section[first - at : last - at]
            at += len(section)
    return found


def _section(length: int, random: np.random.Generator) -> Array:
    """A tone, a noise or a pause; it swells and fades, or is struck and dies away."""
    kind = random.random()
    if kind >= _TONES + _NOISES:
        return np.zeros(length)
    source = _tone(length, random) if kind < _TONES else random.standard_normal(length)
    frequencies = np.fft.rfftfreq(length)
    colour = 0.02 / np.sqrt(1 + (frequencies / _PITCH[1]) ** 2)
    for centre, width in zip(random.uniform(*_RESONANCE, 3), random.uniform(*_WIDTH, 3), strict=True):
        colour = colour + 1 / (1 + ((frequencies - centre) / width) ** 2)
    heard = np.fft.irfft(np.fft.rfft(source) * colour, n=length)
    heard *= np.hanning(length) if random.random() < 0.5 else np.exp(-np.linspace(0, 4, length))
    return np.asarray(heard / (heard.std() + 1e-9) * 10 ** random.uniform(*_LOUD))


def _tone(length: int, random: np.random.Generator) -> Array:
    """All harmonics of a pitch, equally loud, which are pulses; the pitch glides or stays."""
    pitch = np.exp(random.uniform(*np.log(_PITCH)))
    glide = random.choice([0, _GLIDE]) * np.sin(np.linspace(0, random.uniform(1, 6), length))
    phase = 2 * np.pi * np.cumsum(pitch * (1 + glide)) + random.uniform(0.1, 6)
    harmonics = int(0.5 / (pitch * (1 + _GLIDE)))  # below half of the sampling rate
    half = np.sin(phase / 2)
    half = np.where(np.abs(half) < 1e-6, 1e-6, half)
    return np.asarray(np.sin((harmonics + 0.5) * phase) / (2 * half) - 0.5)  # Dirichlet's kernel
