"""Inputs that can be read only once, held in memory: they are looked at before they are used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.calibrate.hook import call_hook


@dataclass(frozen=True, slots=True)
class Held:
    """What a function or an iterator has given.

    Attributes:
        what: the user's own words for it, or the iterator.
        entries: all it gave.
        source: where they came from, for reports.
    """

    what: Any
    entries: tuple[Any, ...]
    source: str


def hold(what: Any) -> Any:
    """`what` itself, or what it gives if that can be asked for only once.

    Raises:
        CalibrationError: a function does not exist, or fails.
    """
    if hasattr(what, "__next__"):
        return Held(what, tuple(what), "an iterable")
    return Held(what, tuple(call_hook(os.fspath(what))), os.fspath(what)) if is_hook(what) else what


def is_hook(what: Any) -> bool:
    """Whether this names a function rather than a file or a kind of noise."""
    if not isinstance(what, str | os.PathLike):
        return False
    text = os.fspath(what)
    return ":" in text and text.split(":")[0] != "noise" and not Path(text).exists()
