"""Pictures made up for a model that comes without inputs.

White noise is far from what networks see: pictures and sounds vary slowly, and most of their energy lies in
low frequencies. So there are images whose spectrum falls like that of photographs (amplitude 1/f: Field,
JOSA A 1987), with flat shapes laid over one another (dead leaves: Lee, Mumford and Huang, IJCV 2001), and
things on a flat ground.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PICTURES = (2, 0, 2, 1)  # kinds of them in turn; things alone serve best, so they come most often


def spatial_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an image, a volume or a signal: those after channels, or before them in NHWC."""
    if len(shape) == 4:
        return (1, 2) if shape[3] in (1, 3, 4) and shape[1] > 4 else (2, 3)
    return ()


def pictures(shape: tuple[int, ...], axes: tuple[int, ...], random: np.random.Generator, kind: int) -> Array:
    """Standardised images: textures (0), flat shapes over them (1), or one thing on a flat ground (2)."""
    last = tuple(s for k, s in enumerate(shape) if k not in axes)
    sizes = (shape[axes[0]], shape[axes[1]])
    images = np.empty((*last, *sizes))
    for sample in range(last[0]):
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
