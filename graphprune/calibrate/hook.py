"""Calibration inputs from a user's own function."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphprune.errors import CalibrationError


def call_hook(text: str) -> Iterable[Any]:
    """What `module:function` or `file.py:function` yields.

    Raises:
        CalibrationError: it does not exist, or fails.
    """
    where, _, name = text.rpartition(":")
    try:
        module = _load(where)
    except CalibrationError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise CalibrationError(f"cannot import {where!r}: {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise CalibrationError(f"{where!r} has no function {name!r}")
    try:
        return list(function())
    except Exception as error:  # the user's code may raise anything
        raise CalibrationError(f"{text} failed: {type(error).__name__}: {error}") from None


def _load(where: str) -> Any:
    path = Path(where)
    if path.suffix != ".py":
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return importlib.import_module(where)
    if not path.is_file():
        raise CalibrationError(f"calibration inputs {where}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
