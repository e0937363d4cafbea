"""Inputs that can be read only once, held in memory: they are looked at before they are used.

No more of them is read than is used: a loader may go on for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.calibrate.hook import call_hook, each
from graphprune.calibrate.request import is_noise
from graphprune.errors import CalibrationError


class Remembered:
    """The entries of an iterator, read when they are asked for and kept for the next who asks."""

    def __init__(self, entries: Iterator[Any]) -> None:
        """Read nothing yet."""
        self._entries, self._read = entries, list[Any]()
        self._error: CalibrationError | None = None

    def __iter__(self) -> Iterator[Any]:
        """All entries from the first, and the error they ended with."""
        number = 0
        while number < len(self._read) or self._more():
            yield self._read[number]
            number += 1

    def _more(self) -> bool:
        if self._error is not None:
            raise self._error
        try:
            self._read.append(next(self._entries))
        except StopIteration:
            return False
        except CalibrationError as error:
            self._error = error
            raise
        return True


@dataclass(frozen=True, slots=True)
class Held:
    """What a function or an iterator gives.

    Attributes:
        what: the user's own words for it, or the iterator.
        entries: what it gives, in any form that can be read more than once.
        source: where they came from, for reports.
    """

    what: Any
    entries: Any
    source: str


def hold(what: Any) -> Any:
    """`what` itself, or what it gives if that can be asked for only once.

    Raises:
        CalibrationError: a function does not exist, fails, or gives nothing that holds inputs.
    """
    if is_hook(what):
        text = os.fspath(what)
        found = call_hook(text)
        if isinstance(found, str | os.PathLike) or not (
            isinstance(found, Iterable) or hasattr(found, "shape")
        ):
            raise CalibrationError(
                f"{text} gives a {type(found).__name__}: yield feeds, or return an array or arrays by input "
                "name"
            )
        return Held(what, _remembered(found, text), text)
    return Held(what, _remembered(what, "an iterable"), "an iterable") if hasattr(what, "__next__") else what


def _remembered(found: Any, text: str) -> Any:
    """The same in a form that can be read again; loaders may shuffle, or be slow, so they are asked once."""
    again = isinstance(found, Mapping | list | tuple) or hasattr(found, "shape")
    return found if again else Remembered(each(found, text))


def is_hook(what: Any) -> bool:
    """Whether this names a function rather than a file or a kind of noise."""
    if not isinstance(what, str | os.PathLike):
        return False
    text = os.fspath(what)
    return ":" in text and not is_noise(text) and not Path(text).exists()
