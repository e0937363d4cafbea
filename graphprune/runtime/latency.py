"""Compares the speed of sessions fairly: they take turns, so that drift of the machine cancels."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from graphprune.runtime.session import Session
from graphprune.runtime.values import Array

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
    """Milliseconds of each measured run of each session, all fed the same; see `take_turns`.

    Raises:
        ModelError: a run failed.
    """
    runs_of = {name: session.bound(feeds) for name, session in sessions.items()}
    return take_turns(runs_of, runs=runs, warmup=warmup, budget_s=budget_s)


def take_turns(
    tasks: Mapping[str, Callable[[], None]],
    *,
    runs: int = 15,
    warmup: int = 3,
    budget_s: float = 5.0,
    least: int = 1,
    cpu_time: bool = False,
) -> dict[str, list[float]]:
    """Milliseconds of each measured run of each task.

    Every task runs once per round, and each round starts with the next task, so that no task always follows
    the same neighbour. With slow tasks fewer rounds are made than asked for: never less than `least`, however
    small the budget.

    Args:
        tasks: what to time, by a name of the caller's choice.
        runs: measured runs per task at most.
        warmup: rounds before measuring at most; one is always made.
        budget_s: seconds that the whole should take at most.
        least: measured runs per task that are made however long they take.
        cpu_time: count what this thread computes rather than what the clock on the wall says, so that other
            programs on the machine matter less; only for tasks that use no other thread.

    Returns:
        The times under the same names, equally many for each; equal places are of one round.
    """
    names = list(tasks)
    start = time.perf_counter()
    with _undisturbed():
        for _ in range(max(warmup, 1)):
            round_s = sum(_run_ms(tasks[name]) for name in names) / 1e3
            if time.perf_counter() - start + round_s > _WARMUP_SHARE * budget_s:
                break
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(max(runs, 1)):
            if turn >= least and time.perf_counter() - start + round_s > budget_s:
                break
            shift = turn % max(len(names), 1)
            for name in names[shift:] + names[:shift]:
                times[name].append(_run_ms(tasks[name], cpu_time))
            round_s = sum(times[name][-1] for name in names) / 1e3
    return times


def median(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each session's times.

    >>> median({"pruned": [3.0, 1.0, 2.0]})
    {'pruned': 2.0}
    """
    return {name: statistics.median(values) for name, values in times.items() if values}


def _run_ms(task: Callable[[], None], cpu_time: bool = False) -> float:
    clock = time.thread_time_ns if cpu_time else time.perf_counter_ns
    start = clock()
    task()
    return (clock() - start) / 1e6


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
