import gc
import itertools

import numpy as np
import pytest

from graphprune.errors import ModelError
from graphprune.runtime import interleaved, latency, median, open_session
from graphprune.runtime.latency import take_turns


class Counting:
    """Stands in for a session; writes down who ran, and takes as long as it is told to."""

    def __init__(self, name, log, clock, seconds):
        self.name, self.log, self.clock, self.seconds = name, log, clock, seconds

    def bound(self, feeds):
        return self.run

    def run(self):
        assert not gc.isenabled()
        self.log.append(self.name)
        self.clock.now += self.seconds


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now

    def perf_counter_ns(self):
        return round(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def _three(log, clock, *seconds):
    return {name: Counting(name, log, clock, s) for name, s in zip("abc", seconds, strict=True)}


def test_sessions_take_turns(clock):
    log = []
    times = interleaved(_three(log, clock, 0.001, 0.002, 0.004), {}, runs=3, warmup=2)
    rounds = [log[start : start + 3] for start in range(0, len(log), 3)]
    assert rounds == [list("abc"), list("abc"), list("abc"), list("bca"), list("cab")]
    assert median(times) == pytest.approx({"a": 1.0, "b": 2.0, "c": 4.0})
    assert all(len(values) == 3 for values in times.values())


def test_slow_sessions_keep_to_the_budget(clock):
    log = []
    times = interleaved(_three(log, clock, 0.2, 0.2, 0.1), {}, runs=100, warmup=3, budget_s=5)
    assert clock.now <= 5
    assert {len(values) for values in times.values()} == {6}


def test_one_round_is_always_measured(clock):
    times = interleaved(_three([], clock, 9, 9, 9), {}, runs=15, budget_s=1)
    assert {len(values) for values in times.values()} == {1}
    assert clock.now == 54


def test_some_rounds_are_made_however_long_they_take(clock):
    tasks = {name: counting.run for name, counting in _three([], clock, 9, 9, 9).items()}
    times = take_turns(tasks, runs=15, budget_s=1, least=4)
    assert {len(values) for values in times.values()} == {4}


def test_processor_time_is_another_clock(clock, monkeypatch):
    clock.thread_time_ns = lambda: round(clock.now * 1e9 / 2)
    tasks = {name: counting.run for name, counting in _three([], clock, 0.2, 0.2, 0.4).items()}
    assert median(take_turns(tasks, runs=3, cpu_time=True)) == pytest.approx({"a": 100, "b": 100, "c": 200})


def test_garbage_collection_is_on_again(clock):
    assert gc.isenabled()
    interleaved(_three([], clock, 0.1, 0.1, 0.1), {}, runs=1)
    assert gc.isenabled()


def test_no_sessions():
    assert interleaved({}, {}) == {}


def test_real_sessions(build, rng):
    feeds = {"x": rng.standard_normal((64, 256)).astype(np.float32)}
    sessions = {
        str(width): open_session(
            build(
                f"g (float[n, 256] x) => (float[n, {width}] y) {{ y = MatMul(x, w) }}",
                w=rng.standard_normal((256, width)).astype(np.float32),
            ),
            threads=1,
        )
        for width in (8, 2048)
    }
    times = interleaved(sessions, feeds, runs=9)
    assert all(value > 0 for value in itertools.chain(*times.values()))
    assert median(times)["8"] < median(times)["2048"]
    with pytest.raises(ModelError, match="did not run"):
        interleaved(sessions, {})
    for session in sessions.values():
        session.close()
