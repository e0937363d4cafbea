"""Calibration inputs from a folder of pictures.

The preprocessing must be stated, because a model does not tell: `resize=256,crop=224,mean=0.485:0.456:0.406,
std=0.229:0.224:0.225`. What is not stated: the size is the model's, colours are RGB, and values are divided
by 255.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import CalibrationError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds pictures and no arrays."""
    suffixes = {p.suffix.lower() for p in path.iterdir()}
    return bool(suffixes & SUFFIXES) and not suffixes & {".npy", ".npz"}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a picture to an input.

    Attributes:
        resize: length of the shorter side before cropping; 0 to stretch to the model's size.
        crop: height and width of the centre that is taken; 0 for the model's.
        scale: factor on values of 0 to 255.
        mean, std: of each channel, after scaling; empty for 0 and 1.
        color: "rgb", "bgr" or "gray".
        layout: "nchw", "nhwc", or "" for what fits the model.
    """

    resize: int = 0
    crop: int = 0
    scale: float = 1 / 255
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    color: str = "rgb"
    layout: str = ""

    @classmethod
    def parse(cls, text: str) -> Preprocessing:
        """Read `key=value,key=value`.

        Raises:
            CalibrationError: an unknown key or value.

        >>> Preprocessing.parse("resize=256,crop=224,mean=0.5").mean
        (0.5,)
        """
        given: dict[str, Any] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            key, _, value = part.partition("=")
            try:
                if key in ("resize", "crop"):
                    given[key] = int(value)
                    if given[key] < 0:
                        raise ValueError
                elif key == "scale":
                    top, _, bottom = value.partition("/")
                    given[key] = float(top) / float(bottom or 1)
                elif key in ("mean", "std"):
                    given[key] = tuple(float(v) for v in value.split(":"))
                    if key == "std" and 0 in given[key]:
                        raise ValueError
                elif (key == "color" and value in ("rgb", "bgr", "gray")) or (
                    key == "layout" and value in ("nchw", "nhwc")
                ):
                    given[key] = value
                else:
                    raise ValueError
            except (ValueError, ZeroDivisionError):
                raise CalibrationError(
                    f"cannot read {part!r} in the preprocessing: write for example "
                    "resize=256,crop=224,scale=1/255,mean=0.485:0.456:0.406,std=0.229:0.224:0.225,"
                    "color=rgb,layout=nchw"
                ) from None
        return cls(**given)


def read_images(
    folder: Path, how: Preprocessing, shape: tuple[int | None, ...], most: int | None
) -> Iterator[NDArray[np.float32]]:
    """Pictures of a folder as inputs, one at a time, in the order of their names.

    Args:
        folder: of pictures.
        how: the preprocessing.
        shape: of the model's input, None where it is free.
        most: read at most this many.

    Raises:
        CalibrationError: Pillow is not installed, the input is no picture, or a file is damaged.
    """
    try:
        from PIL import Image
    except ImportError:
        raise CalibrationError(
            f'{folder} holds images: pip install "graphprune[images]" to read them'
        ) from None
    if len(shape) != 4:
        raise CalibrationError(f"{folder} holds images, but the model's input has {len(shape)} axes, not 4")
    layout = how.layout or ("nhwc" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "nchw")
    channels, sizes = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    mode = "L" if how.color == "gray" or channels == 1 else "RGB"
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    for file in files[:most]:
        try:
            with Image.open(file) as opened:
                image = opened.convert(mode)
        except OSError as error:
            raise CalibrationError(f"cannot read the image {file}: {error}") from None
        height, width = sizes[0] or how.crop or 224, sizes[1] or how.crop or 224
        if how.resize:
            factor = how.resize / min(image.size)
            image = image.resize(
                (max(width, round(image.width * factor)), max(height, round(image.height * factor)))
            )
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        else:
            image = image.resize((width, height))
        array: NDArray[Any] = np.asarray(image, np.float32).reshape(height, width, -1) * how.scale
        if how.color == "bgr":
            array = array[..., ::-1]
        array = (array - np.array(how.mean or 0.0, np.float32)) / np.array(how.std or 1.0, np.float32)
        yield (array.transpose(2, 0, 1) if layout == "nchw" else array)[None].astype(np.float32)
