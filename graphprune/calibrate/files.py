"""Calibration inputs from .npz and .npy files, and folders of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.errors import CalibrationError


def read_files(path: Path) -> Iterator[Any]:
    """The feeds in a file, or in the files of a folder in the order of their names.

    A .npz holds an array for each input, by name; a .npy the only one.

    Raises:
        CalibrationError: missing, of another kind, or damaged.
    """
    if not path.exists():
        raise CalibrationError(
            f"calibration inputs {path}: no such file; give a .npz or .npy, a folder of them or of images, "
            "module:function, or noise"
        )
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".npz", ".npy"))
        if not files:
            raise CalibrationError(f"the folder {path} holds neither .npz or .npy files nor images")
    return _each(files)


def _each(files: list[Path]) -> Iterator[Any]:
    for file in files:
        if file.suffix not in (".npz", ".npy"):
            raise CalibrationError(
                f"calibration inputs {file}: not a .npz or .npy file; write one with numpy.savez(file, "
                "INPUT=array)"
            )
        try:
            with file.open("rb") as opened:
                found = np.load(opened, allow_pickle=False)
                feeds = {name: found[name] for name in found.files} if file.suffix == ".npz" else found
            yield feeds
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise CalibrationError(f"cannot read the calibration inputs {file}: {error}") from None
