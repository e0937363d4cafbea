"""Latency as a function of what is kept, from made-up profiles."""

from __future__ import annotations

import pytest

from graphprune.analysis import Analysis
from graphprune.analysis.latency import LatencyModel
from graphprune.runtime.profile import Kernel, Profile
from graphprune.testing import analysed
from tests.rules.building import build

NET = """net (float[n, 3, 8, 8] x) => (float[N, V] y)
    <float[32, 3, 3, 3] A, float[48, 32, 3, 3] C, float[48, 10] H>
    { a = Conv <pads = [1, 1, 1, 1]> (x, A)  ar = Relu(a)  c = Conv <pads = [1, 1, 1, 1]> (ar, C)
      p = GlobalAveragePool(c)  q = Flatten(p)  y = MatMul(q, H) }"""
TIMES = {"a": 2.0, "ar": 0.5, "c": 8.0, "p": 0.1, "q": 0.1, "y": 0.4}
CALL = 0.1


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysed(build(NET))[1]


@pytest.fixture(scope="module")
def profile(analysis: Analysis) -> Profile:
    """Every node in a kernel of its own, and one that is nobody's."""
    kernels = [
        Kernel(n.outputs[0], n.op, "cpu", TIMES[n.outputs[0]], (n.name,)) for n in analysis.facts.nodes
    ]
    return Profile((*kernels, Kernel("reorder", "ReorderInput", "cpu", 0.2, ())), 12.0)


def atoms(analysis: Analysis) -> tuple[int, int]:
    return analysis.by_key["A[0]"].atom, analysis.by_key["C[0]"].atom


def test_nothing_cut_takes_what_was_measured(analysis: Analysis, profile: Profile) -> None:
    model = LatencyModel(analysis, profile, {})
    assert model.ms() == pytest.approx(12.0)
    assert model.whole == 12.0


def test_time_shrinks_with_the_work_of_every_kernel(analysis: Analysis, profile: Profile) -> None:
    model = LatencyModel(analysis, profile, {})
    a, c = atoms(analysis)
    # Half of A: its own product, the elements of the Relu, and the product that reads it.
    assert 12.0 - model.ms({a: 16}) == pytest.approx(((2 - CALL) + (0.5 - CALL) + (8 - CALL)) / 2)
    # A quarter of C: its product and the one behind; pooled elements cost no more than a call.
    assert 12.0 - model.ms({c: 36}) == pytest.approx(((8 - CALL) + (0.4 - CALL)) / 4)
    assert model.ms({a: 1, c: 1}) > model.fixed


def test_sizes_count_in_whole_steps(analysis: Analysis, profile: Profile) -> None:
    model = LatencyModel(analysis, profile, {"Conv": 16})
    a, c = atoms(analysis)
    relu = (0.5 - CALL) / 32  # is no convolution, and computes every slot that is there
    assert model.ms({a: 17}) - model.ms({a: 32}) == pytest.approx(-15 * relu)
    assert model.ms({c: 33}) - model.ms({c: 48}) == pytest.approx(-(0.4 - CALL) * 15 / 48)
    assert model.ms({a: 16}) == pytest.approx(LatencyModel(analysis, profile, {}).ms({a: 16}))


def test_what_a_step_saves(analysis: Analysis, profile: Profile) -> None:
    model = LatencyModel(analysis, profile, {"Conv": 16})
    a, c = atoms(analysis)
    counts = {a: 32, c: 32}
    expected = model.ms(counts) - model.ms({a: 16, c: 32})
    assert model.saving(a, 16, counts) == pytest.approx(expected)
    assert model.saving(c, 0, counts) == 0
