"""A user's own functions, by name; and the calibration inputs that one of them yields."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from graphprune.errors import CalibrationError, GraphPruneError


def call_hook(text: str) -> Any:
    """What `module:function` or `file.py:function` gives; if that is an iterator, nothing of it is read yet.

    Raises:
        CalibrationError: it does not exist, or fails.
    """
    function = find_function(text, "calibration inputs", CalibrationError)
    try:
        return function()
    except (Exception, SystemExit) as error:  # the user's code may raise anything, and must not end ours
        raise failed(text, error) from None


def each(given: Iterable[Any], text: str) -> Iterator[Any]:
    """The entries of a user's own iterable.

    Raises:
        CalibrationError: it fails.
    """
    try:
        yield from given
    except GraphPruneError:
        raise
    except (Exception, SystemExit) as error:
        raise failed(text, error) from None


def failed(text: str, error: BaseException) -> CalibrationError:
    """The user's own code has raised something."""
    return CalibrationError(f"{text} failed: {type(error).__name__}: {error}")


def find_function(text: str, what: str, error: type[GraphPruneError]) -> Callable[..., Any]:
    """The function that `module:function` or `file.py:function` names.

    Args:
        text: the name.
        what: it is for, in words.
        error: what to raise if it does not exist or its module fails.
    """
    where, _, name = text.rpartition(":")
    if where.endswith(".py") and not Path(where).is_file():
        raise error(f"{what} {where}: no such file")
    try:
        module = _load(where)
    except (Exception, SystemExit) as found:  # the user's code may raise anything, and must not end ours
        raise error(f"cannot import {where!r}: {type(found).__name__}: {found}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise error(f"{where!r} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def _load(where: str) -> Any:
    path = Path(where)
    if path.suffix != ".py":
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        return importlib.import_module(where)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
