"""Calibration inputs from a folder of pictures.

The preprocessing must be stated, because a model does not tell: `resize=256,crop=224,mean=0.485:0.456:0.406,
std=0.229:0.224:0.225`. What is not stated: the size is the model's, colours are RGB, and values are divided
by 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import CalibrationError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm"})


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds pictures.

    Raises:
        CalibrationError: it holds arrays as well.
    """
    files = sorted(path.iterdir())
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    arrays = [p for p in files if p.suffix in (".npy", ".npz")]
    if pictures and arrays:
        raise CalibrationError(
            f"the folder {path} holds {len(pictures)} pictures and {len(arrays)} files of arrays "
            f"({arrays[0].name}): give a folder with one kind of inputs"
        )
    return bool(pictures)


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
                elif key == "scale":
                    top, _, bottom = value.partition("/")
                    given[key] = float(top) / float(bottom or 1)
                elif key in ("mean", "std"):
                    given[key] = tuple(float(v) for v in value.split(":"))
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
        found = cls(**given)
        found._check(given)
        return found

    def _check(self, given: Mapping[str, Any]) -> None:
        """Refuse numbers that make nothing of a picture."""
        for key in ("resize", "crop"):
            if key in given and given[key] <= 0:
                raise CalibrationError(f"{key}={given[key]} in the preprocessing: give a number of pixels")
        for key in ("scale", "mean", "std"):
            values = np.atleast_1d(given.get(key, 1.0))
            if not np.isfinite(values).all() or (key != "mean" and not values.all()):
                raise CalibrationError(
                    f"{key} in the preprocessing: {', '.join(f'{v:g}' for v in values)} is found; give "
                    f"numbers that are finite{'' if key == 'mean' else ' and not zero'}"
                )

    def for_model(self, channels: int, sizes: tuple[int | None, ...]) -> tuple[int, int]:
        """Height and width of an input.

        Args:
            channels: that pictures are read with.
            sizes: height and width that the model takes, None where they are free.

        Raises:
            CalibrationError: something stated cannot be done for this model.
        """
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, channels):
                raise CalibrationError(
                    f"{key} in the preprocessing has {len(values)} numbers, but pictures are read with "
                    f"{channels} channels: give one number, or one for each channel"
                )
        height, width = (size or self.crop or 224 for size in sizes)
        if self.crop and (height, width) != (self.crop, self.crop):
            raise CalibrationError(
                f"crop={self.crop} in the preprocessing, but the model takes pictures of {height}x{width}: "
                "leave crop out, the model's size is what is cut out"
            )
        return height, width


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
    depth = 1 if mode == "L" else 3
    height, width = how.for_model(depth, sizes)
    for file in files[:most]:
        try:
            with Image.open(file) as opened:
                image = _converted(opened, mode, file)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, of damaged files
            raise CalibrationError(f"cannot read the image {file}: {error}") from None
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
        array = np.broadcast_to(array, (height, width, depth))  # of 16 bits there is one channel only
        if how.color == "bgr":
            array = array[..., ::-1]
        array = (array - np.array(how.mean or 0.0, np.float32)) / np.array(how.std or 1.0, np.float32)
        yield (array.transpose(2, 0, 1) if layout == "nchw" else array)[None].astype(np.float32)


def _converted(image: Any, mode: str, file: Path) -> Any:
    """A picture with values of 0 to 255: of 16 bits as real numbers, as Pillow would clip them.

    Raises:
        CalibrationError: nobody knows which of its values is white.
    """
    if image.mode.startswith("I;16"):
        from PIL import Image

        return Image.fromarray(np.asarray(image, np.float32) / 257)
    if image.mode in ("I", "F"):
        kind = "whole" if image.mode == "I" else "real"
        raise CalibrationError(
            f"the image {file} holds {kind} numbers of 32 bits, whose range is not known: save it with 8 or "
            "16 bits, or give arrays (.npy) that are scaled as the model wants them"
        )
    return image.convert(mode)
