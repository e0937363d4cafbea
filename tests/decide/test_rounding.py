"""Multiples: fixed, or those of a machine; and targets that are met on the stairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.analysis import Analysis, CostModel
from graphprune.analysis.latency import LatencyModel
from graphprune.decide import Machine, Options, decide, needs_machine, parse_targets
from graphprune.decide.giveback import given_back
from graphprune.decide.rounding import parse_rounding, steps_of
from graphprune.errors import ModelError, TargetError, UsageError
from graphprune.runtime.profile import Kernel, Profile
from graphprune.testing import analysed
from tests.rules.building import build

NET = """net (float[n, 3, 16, 16] x) => (float[N, V] y)
    <float[64, 3, 3, 3] A, float[96, 64, 3, 3] C, float[96, 40] D, float[40, 10] H>
    { a = Conv(x, A)  ar = Relu(a)  c = Conv(ar, C)  cr = Relu(c)
      p = GlobalAveragePool(cr)  q = Flatten(p)  d = MatMul(q, D)  dr = Relu(d)  y = MatMul(dr, H) }"""
STEPS = {"Conv": 16, "MatMul": 4}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysed(build(NET))[1]


@pytest.fixture(scope="module")
def machine(analysis: Analysis) -> Machine:
    """A machine on which every multiply-add takes as long, and calls nothing."""
    macs = CostModel(analysis).macs_by_node()
    kernels = [
        Kernel(n.name, n.op, "cpu", macs.get(n.name, 0) / 1e6, (n.name,)) for n in analysis.facts.nodes
    ]
    return Machine(STEPS, LatencyModel(analysis, Profile(tuple(kernels), 0.0), STEPS))


@pytest.mark.parametrize("value", ["auto", 16, "16"])
def test_what_rounding_may_be(value: int | str) -> None:
    assert parse_rounding(value) == (value if value == "auto" else 16)


@pytest.mark.parametrize("value", ["sometimes", "1.5", "0", -4])
def test_what_rounding_may_not_be(value: int | str) -> None:
    with pytest.raises(UsageError, match="--round-to must be"):
        parse_rounding(value)


def test_steps_are_those_of_the_operator(analysis: Analysis) -> None:
    found = {analysis.by_atom[a].key: s for a, s in steps_of(analysis.groups, "auto", STEPS).items()}
    assert (found["A[0]"], found["C[0]"], found["D[1]"]) == (16, 16, 4)
    assert set(steps_of(analysis.groups, 8, None).values()) == {8}


@pytest.mark.parametrize("allocation", ["knapsack", "dp-levels", "global", "uniform"])
@pytest.mark.parametrize("share", [0.7, 0.5, 0.3])
def test_what_is_kept_lies_on_the_stairs(
    analysis: Analysis, machine: Machine, allocation: str, share: float
) -> None:
    options = Options(None, parse_targets([f"macs={share}"]), round_to="auto", allocation=allocation)
    decision = decide(analysis, options, machine=machine)
    assert decision.after.macs <= share * decision.before.macs
    for atom, slots in decision.keeps.items():
        assert slots.count % (4 if analysis.by_atom[atom].kind == "neurons" else 16) == 0
    assert decision.rounding == {"channels": 16, "neurons": 4}


def test_no_step_more_could_have_stayed(analysis: Analysis, machine: Machine) -> None:
    options = Options(None, parse_targets(["macs=0.55"]), round_to="auto", allocation="knapsack")
    decision = decide(analysis, options, machine=machine)
    kept = {a: s.count for a, s in decision.keeps.items()}
    steps = steps_of(decision.candidates.groups, "auto", STEPS)
    for atom, count in kept.items():
        more = CostModel(analysis).cost(kept | {atom: min(analysis.by_atom[atom].size, count + steps[atom])})
        assert more.macs > 0.55 * decision.before.macs


def test_what_is_worth_most_comes_back_first(analysis: Analysis) -> None:
    groups = tuple(g for g in analysis.groups if g.key in ("A[0]", "C[0]"))
    a, c = (g.atom for g in groups)
    scores = {a: np.ones(64), c: np.full(96, 3.0)}
    found = given_back(groups, {a: 16, c: 16}, {a: 16, c: 16}, scores, lambda k: sum(k.values()) <= 64)
    assert found == {a: 16, c: 48}


def test_what_a_coarse_group_left_goes_to_fine_ones(analysis: Analysis) -> None:
    groups = tuple(g for g in analysis.groups if g.key in ("A[0]", "C[0]"))
    a, c = (g.atom for g in groups)
    scores = {a: np.ones(64), c: np.full(96, 0.5)}
    start = {a: 16, c: 16}

    def met(counts: Mapping[int, int]) -> bool:
        return sum(counts.values()) <= 42

    assert given_back(groups, start, {a: 16, c: 1}, scores, met) == {a: 16, c: 26}
    assert given_back(groups, start, {a: 1, c: 1}, scores, met) == start


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_a_latency_target_is_met_by_the_estimate(analysis: Analysis, machine: Machine, share: float) -> None:
    options = Options(None, parse_targets([f"latency={share}"]), round_to="auto", allocation="knapsack")
    assert needs_machine(options)
    decision = decide(analysis, options, machine=machine)
    kept = {a: s.count for a, s in decision.keeps.items()}
    assert machine.latency.ms(kept) <= share * machine.latency.whole
    assert decision.keeps


def test_a_latency_that_cannot_be_had(analysis: Analysis, machine: Machine) -> None:
    with pytest.raises(TargetError, match=r"leaves latency=0\.\d+; ask for that"):
        decide(analysis, Options(None, parse_targets(["latency=0.001"])), machine=machine)


def test_latency_is_a_share() -> None:
    with pytest.raises(UsageError, match=r"must be a share of the original, for example latency=0\.5"):
        parse_targets(["latency=20"])


UNKNOWN = """net (float[n, 8] x) => (float[N, V] y) <float[8, 40] A, float[40, 4] B>
    { a = MatMul(x, A)  r = Relu(a)  b = MatMul(r, B)  y = com.example.Nonsense(b) }"""


def test_a_model_that_cannot_run_is_rounded_but_not_timed() -> None:
    model = build(UNKNOWN)
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    result = graphprune.prune(model, 0.5, round_to="auto", verify=False)
    (group,) = result.report["groups"]
    assert group["after"] % result.report["method"]["rounding"].get("neurons", 1) == 0
    with pytest.raises(ModelError, match="cannot be timed, so set another target"):
        graphprune.prune(model, target="latency=0.5")


def test_a_whole_run(bundled) -> None:  # type: ignore[no-untyped-def]
    result = graphprune.prune(
        bundled("resnet_se"), target="latency=0.7", round_to="auto", recipe="plain", benchmark=True
    )
    report = result.report
    assert report["equivalence"]["status"] == "equal"
    assert report["after"]["latency_ms"] > 0
    assert report["timed_on"].startswith("image ")
    step = report["method"]["rounding"].get("channels", 1)
    assert report["groups"]
    assert all(g["after"] % step == 0 for g in report["groups"] if g["kind"] == "channels")


def test_a_few_heads_come_back_where_they_need_not_have_gone(analysis: Analysis) -> None:
    """One share for all groups takes a head of every layer at once; slots of the others take up the rest."""
    few = tuple(g for g in analysis.groups if g.key in ("A[0]", "C[0]"))
    a, c = few
    heads = replace(a, size=4)
    scores = {a.atom: np.array([1.0, 5, 2, 3]), c.atom: np.ones(96)}
    counts, steps = {a.atom: 1, c.atom: 40}, {a.atom: 1, c.atom: 1}
    found = given_back((heads, c), counts, steps, scores, lambda k: 10 * k[a.atom] + k[c.atom] <= 75)
    assert found == {a.atom: 3, c.atom: 45}
