"""What is said of a long stage, by a clock that the test turns."""

from __future__ import annotations

import pytest

from graphprune.runtime.progress import Progress, in_words


class Watch:
    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []

    def __call__(self) -> float:
        return self.now

    def progress(self, unit: str = "") -> Progress:
        return Progress(self.lines.append, "score", unit, clock=self)


def test_the_rest_is_told_once_it_shows() -> None:
    watch = Watch()
    say = watch.progress("batches")
    for done in range(64):
        say(done, 64)
        watch.now += 2
    assert watch.lines[:2] == ["score 0/64 batches", "score 1/64 batches"]
    assert watch.lines[4] == "score 4/64 batches"  # six seconds that count, but of too few
    assert watch.lines[5] == "score 5/64 batches, about 2 min left"
    assert watch.lines[-1] == "score 63/64 batches, about 2 s left"


def test_nothing_is_told_of_what_is_over_soon() -> None:
    watch = Watch()
    say = watch.progress()
    for done in range(11):
        say(done, 10)
        watch.now += 0.4
    assert watch.lines == [f"score {done}/10" for done in range(10)]  # not that it is done either


def test_the_first_of_all_tells_nothing() -> None:
    """It may wait for what all need."""
    watch = Watch()
    say = watch.progress()
    say(0, 3)
    watch.now += 600
    say(1, 3)
    watch.now += 60
    say(2, 3)
    assert watch.lines == ["score 0/3", "score 1/3", "score 2/3, about 60 s left"]


@pytest.mark.parametrize(("total", "expected"), [(20, "score 2/20"), (10, "score 2/10")])
def test_the_next_part_is_timed_anew(total: int, expected: str) -> None:
    """Whether it counts to another number or to the same one again."""
    watch = Watch()
    say = watch.progress()
    for done in range(10):
        say(done, 10)
        watch.now += 60
    for done in range(3):
        say(done, total)
        watch.now += 0.5
    assert watch.lines[-1] == expected


def test_what_was_done_before_the_start_took_no_time() -> None:
    watch = Watch()
    say = watch.progress()
    for done in (50, 60, 70):
        say(done, 100)
        watch.now += 30
    assert watch.lines == ["score 50/100", "score 60/100", "score 70/100, about 2 min left"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "1 s"), (89, "89 s"), (90, "2 min"), (3000, "50 min"), (5400, "1.5 h")]
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
