"""The stairs of this machine: read off curves, measured once, kept in a cache."""

from __future__ import annotations

import math

import pytest

from graphprune.runtime import cache, kernels
from graphprune.runtime.kernels import Kernels, measured_kernels, step_of, work


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def counted(monkeypatch):
    """Counts how often an operator is measured; nothing is."""
    calls = []

    def fake(op, provider, threads):
        calls.append((op, provider, threads))
        return {w: work(op, math.ceil(w / 8) * 8) for w in kernels._WIDTHS}

    monkeypatch.setattr(kernels, "measure", fake)
    return calls


@pytest.mark.parametrize("op", kernels.OPERATORS)
@pytest.mark.parametrize("step", [1, 4, 8, 16])
def test_a_staircase_is_recognised(op, step):
    curve = {w: 0.1 + 0.01 * work(op, math.ceil(w / step) * step) for w in kernels._WIDTHS}
    assert step_of(op, curve) == step


def test_widths_beside_the_stairs_may_cost_even_more():
    """A convolution whose channels are no multiple of 4 falls out of the blocked layout."""
    curve = {w: math.ceil(w / 16) * (1.0 if w % 4 == 0 else 1.4) for w in kernels._WIDTHS}
    assert step_of("Conv", curve) == 16


def test_noise_is_no_staircase():
    curve = {w: w * (1.02 if k % 2 else 0.99) for k, w in enumerate(kernels._WIDTHS)}
    assert step_of("MatMul", curve) == 1


def test_machines_are_measured_once(counted):
    told = []
    first = measured_kernels("cpu", 1, told.append)
    again = measured_kernels("cpu", 1, told.append)
    assert first == again
    assert first.steps == {"Conv": 8, "MatMul": 8, "LSTM": 8}
    assert [op for op, _, _ in counted] == list(kernels.OPERATORS)
    assert told == ["measure this machine's kernels (once)"]


def test_other_threads_are_another_measurement(counted):
    measured_kernels("cpu", 1)
    measured_kernels("cpu", 2)
    assert len(counted) == 2 * len(kernels.OPERATORS)


def test_what_cannot_be_read_is_measured_again(counted):
    measured_kernels("cpu", 1)
    for file in cache.cache_folder().iterdir():
        file.write_text("{", encoding="utf-8")
    measured_kernels("cpu", 1)
    assert len(counted) == 2 * len(kernels.OPERATORS)


def test_a_cache_that_cannot_be_written_is_no_error(counted, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert measured_kernels("cpu", 1).steps["Conv"] == 8


def test_a_real_measurement(monkeypatch):
    monkeypatch.setattr(kernels, "_ROUNDS", 2)
    found: Kernels = measured_kernels("cpu", 1)
    for op in kernels.OPERATORS:
        assert set(found.curves[op]) == set(kernels._WIDTHS)
        assert all(t > 0 for t in found.curves[op].values())
        assert found.steps[op] in kernels.STEPS
