"""What is asked of calibration inputs, looked at before the work and before any of them is read."""

from __future__ import annotations

from typing import Any

from graphprune.calibrate.images import Preprocessing
from graphprune.errors import CalibrationError


def is_noise(what: Any) -> bool:
    """Whether this asks for inputs that are made up."""
    return isinstance(what, str) and what.split(":")[0] == "noise"


def check_request(what: Any, samples: int | None = None, preprocessing: str = "") -> None:
    """Find out whether calibration inputs can be meant by this, steps for images too where there are none.

    Raises:
        CalibrationError: no inputs are named, none are wanted, or the preprocessing cannot be read.
    """
    if isinstance(what, str) and not what.strip():
        raise CalibrationError(
            "the calibration inputs have no name: give a .npz or .npy, a folder of them or of images, "
            "module:function, or noise"
        )
    if samples is not None and samples < 1:
        raise CalibrationError(f"the number of calibration inputs must be at least 1, got {samples}")
    Preprocessing.parse(preprocessing)
