"""Compares the speed of sessions fairly: they take turns, so that drift of the machine cancels."""

import gc
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from graphprune.runtime.session import Array, Session

# Warming up may take this share of the budget.
_WARMUP_SHARE = 0.4


def interleaved(
    sessions: Mapping[str, Session],
    feeds: Mapping[str, Array],
    *,
    runs: int = 15,
    warmup: int = 3,
    budget_s: float = 5.0,
) -> dict[str, list[float]]:
    """Milliseconds of each measured run of each session, all fed the same.

    Every session runs once per round, and each round starts with the next session, so that no
    session always follows the same neighbour. With slow models fewer rounds are made than asked for:
    never less than one, however small the budget.

    Args:
        sessions: open sessions by a name of the caller's choice.
        feeds: inputs that all of them accept.
        runs: measured runs per session at most.
        warmup: rounds before measuring at most; one is always made.
        budget_s: seconds that the whole should take at most.

    Returns:
        The times under the same names, equally many for each.

    Raises:
        ModelError: a run failed.
    """
    names = list(sessions)
    start = time.perf_counter()
    with _undisturbed():
        for _ in range(max(warmup, 1)):
            round_s = sum(_run_ms(sessions[name], feeds) for name in names) / 1e3
            if time.perf_counter() - start + round_s > _WARMUP_SHARE * budget_s:
                break
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(max(runs, 1)):
            if turn and time.perf_counter() - start + round_s > budget_s:
                break
            shift = turn % max(len(names), 1)
            for name in names[shift:] + names[:shift]:
                times[name].append(_run_ms(sessions[name], feeds))
            round_s = sum(times[name][-1] for name in names) / 1e3
    return times


def median(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each session's times.

    >>> median({"pruned": [3.0, 1.0, 2.0]})
    {'pruned': 2.0}
    """
    return {name: statistics.median(values) for name, values in times.items() if values}


def _run_ms(session: Session, feeds: Mapping[str, Array]) -> float:
    start = time.perf_counter_ns()
    session.run(feeds)
    return (time.perf_counter_ns() - start) / 1e6


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection in the middle of a measurement."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
