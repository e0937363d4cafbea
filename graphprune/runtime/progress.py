"""How far a long stage is, and about how long the rest of it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 5.0  # before them there is nothing to go by
_SHARE = 0.05  # of all that is timed, the same


class Progress:
    """Says of a stage how much is done, of how much, and about how long the rest takes once that shows.

    A stage may have several parts, one after the other: counting anew, or to another number, starts the next.
    The first of what is counted tells nothing, because it often waits until things are made ready.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        stage: str,
        unit: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to listen.

        Args:
            tell: given each line; its first word is the stage.
            stage: name of the stage.
            unit: what is counted.
            clock: gives seconds.
        """
        self._tell, self._stage, self._clock = tell, stage, clock
        self._unit = f" {unit}" if unit else ""
        self._first = self._last = self._total = 0
        self._start = 0.0
        self._timed = False

    def __call__(self, done: int, total: int) -> None:
        """So much is done, of so much; nothing is said when all is."""
        now = self._clock()
        new = total != self._total or done < self._last
        if new or not self._timed:
            self._timed = not new and done > self._first
            self._start, self._first, self._total = now, done, total
        self._last = done
        if done < total:
            self._tell(f"{self._stage} {done}/{total}{self._unit}{self._left(now - self._start)}")

    def _left(self, passed: float) -> str:
        """In words; "" as long as it does not show."""
        done = self._last - self._first
        if passed < _SECONDS or done < max(1, _SHARE * self._total):
            return ""
        return f", about {in_words(passed / done * (self._total - self._last))} left"


def in_words(seconds: float) -> str:
    """A time as people say it.

    >>> in_words(8.4), in_words(130), in_words(9000)
    ('8 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
