"""Inputs made up for a model that comes without any.

White noise is far from what networks see: pictures and sounds vary slowly, and most of their energy lies in
low frequencies. So besides plain noise there are images whose spectrum falls like that of photographs
(amplitude 1/f: Field, JOSA A 1987) with flat shapes laid over one another (dead leaves: Lee, Mumford and
Huang, IJCV 2001).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.recording import Recording

KINDS = ("auto", "normal", "uniform", "images")

Array = NDArray[Any]


def synthetic_feeds(
    model: ir.Model, recording: Recording, kind: str, samples: int, seed: int
) -> Iterator[Mapping[str, Array]]:
    """Feeds for a model, `samples` in all.

    Whole numbers stay inside the tables they index and masks stay masks, as in `random_feeds`.

    Args:
        model: the normalised model.
        recording: of its tensors.
        kind: "normal", "uniform", "images", or "auto": images where an input looks like one, else normal.
        samples: how many.
        seed: equal seeds give equal inputs.
    """
    sizes = dict(recording.sizes)
    first = {str(v.name): recording.shapes.get(str(v.name), ()) for v in real_inputs(model)}
    in_one = max((s[0] for n, s in first.items() if s and recording.dynamic(n)[0]), default=1)
    for number in range(-(-samples // max(1, in_one))):
        feeds = random_feeds(model, sizes, seed * 1_000_003 + number)
        random = np.random.default_rng((seed, number))
        yield {name: _changed(array, kind, random) for name, array in feeds.items()}


def _changed(array: Array, kind: str, random: np.random.Generator) -> Array:
    if array.dtype.kind != "f" or not array.size or set(np.unique(array[:1].ravel()[:64])) <= {0.0, 1.0}:
        return array
    if kind == "uniform":
        uniform = random.random(array.shape) * 2 * np.sqrt(3) - np.sqrt(3)
        return np.asarray(uniform.astype(array.dtype))
    axes = _spatial(array.shape)
    if kind == "normal" or not axes:
        return array
    return _images(array.shape, axes, random).astype(array.dtype)


def _spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an image, a volume or a signal: those after channels, or before them in NHWC."""
    if len(shape) == 4:
        return (1, 2) if shape[3] in (1, 3, 4) and shape[1] > 4 else (2, 3)
    return ()


def _images(shape: tuple[int, ...], axes: tuple[int, ...], random: np.random.Generator) -> Array:
    """Standardised images: textures, flat shapes over them, or one thing on a flat ground."""
    last = tuple(s for k, s in enumerate(shape) if k not in axes)
    sizes = (shape[axes[0]], shape[axes[1]])
    images = np.empty((*last, *sizes))
    for sample in range(last[0]):
        kind = random.integers(3)
        image = _smooth((*last[1:], *sizes), random, exponent=random.uniform(0.8, 1.6))
        if kind == 1:
            _lay_shapes(image, sizes, random)
        elif kind == 2:
            image = _thing(image, sizes, random)
        if random.random() < 0.5:  # channels of pictures go together
            image = 0.8 * image.mean(axis=0, keepdims=True) + 0.2 * image if image.ndim > 2 else image
        spread = max(float(image.std()), 1e-6)
        images[sample] = (image - image.mean()) / spread * random.uniform(0.5, 1.3) + random.normal(0, 0.4)
    return np.moveaxis(images, (-2, -1), axes)


def _smooth(shape: tuple[int, ...], random: np.random.Generator, exponent: float = 1.0) -> Array:
    """Noise whose amplitude falls with frequency, unit variance, along the last two axes."""
    across = np.fft.fftfreq(shape[-2])[:, None], np.fft.fftfreq(shape[-1])[None]
    frequencies = np.sqrt(across[0] ** 2 + across[1] ** 2)
    frequencies[0, 0] = 1.0
    noise = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    found = np.fft.ifft2(noise / frequencies**exponent).real
    return np.asarray(found / (found.std(axis=(-2, -1), keepdims=True) + 1e-9))


def _lay_shapes(image: Array, sizes: tuple[int, int], random: np.random.Generator) -> None:
    """Paint flat rectangles over an image."""
    for _ in range(int(random.integers(2, 12))):
        top, left = (int(random.integers(0, n)) for n in sizes)
        high, wide = (int(random.integers(1, max(2, n // 2))) for n in sizes)
        level = random.normal(0, 1.2, (*image.shape[:-2], 1, 1))
        image[..., top : top + high, left : left + wide] = level


def _thing(image: Array, sizes: tuple[int, int], random: np.random.Generator) -> Array:
    """One textured thing, about in the middle, on a flat ground."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in sizes), indexing="ij")
    reach = random.uniform(0.4, 0.9, 2)
    inside = (
        1
        - (np.abs(y) / reach[0]) ** random.uniform(1.5, 6)
        - (np.abs(x) / reach[1]) ** random.uniform(1.5, 6)
    )
    inside = inside + 0.4 * _smooth(sizes, random, 1.5)
    if random.random() < 0.6:  # most things are nearly the same left and right
        inside = (inside + inside[:, ::-1]) / 2
    ground = random.normal(0, 1, (*image.shape[:-2], 1, 1)) - 1.5
    return np.where(inside > 0, 0.6 * image + random.normal(1, 0.6), ground)
