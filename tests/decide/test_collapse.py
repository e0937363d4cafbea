"""Groups that a ranking left next to nothing of are told, and only those."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from graphprune.analysis import Analysis
from graphprune.decide import Options, Parts, decide, parse_targets
from graphprune.decide.collapse import collapses
from graphprune.testing import analysed
from tests.rules.building import build

NET = """net (float[n, 3, 16, 16] x) => (float[N, V] y)
    <float[36, 3, 3, 3] A, float[48, 36, 3, 3] C, float[20, 48, 3, 3] D, float[20, 10] H>
    { a = Conv(x, A)  ar = Relu(a)  c = Conv(ar, C)  cr = Relu(c)  d = Conv(cr, D)  dr = Relu(d)
      p = GlobalAveragePool(dr)  q = Flatten(p)  y = MatMul(q, H) }"""
SIZES = {"A[0]": 36, "C[0]": 48, "D[0]": 20}
RAW = Parts("", "l1", "mean", "none", "global", "none")
COMPARED = Parts("", "l1", "mean", "mean", "global", "none")
MEASURED = Parts("", "l1", "mean", "sensitivity", "knapsack", "none")
BY_LAYER = Parts("", "l1", "mean", "none", "waterfill", "none")
UNIFORM = Parts("", "l1", "mean", "none", "uniform", "none")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysed(build(NET))[1]


def said(analysis: Analysis, kept: Mapping[str, int], parts: Parts = RAW, step: int = 1) -> str:
    groups = tuple(analysis.by_key[k] for k in SIZES)
    counts = {g.atom: kept.get(g.key, g.size) for g in groups}
    return " ".join(collapses(groups, counts, {g.atom: step for g in groups}, parts, 0.1))


@pytest.mark.parametrize(("key", "floor"), [("A[0]", 4), ("C[0]", 5), ("D[0]", 2)])
def test_a_group_at_the_floor_is_told_whatever_its_size(analysis: Analysis, key: str, floor: int) -> None:
    found = said(analysis, {key: floor})
    assert "layer collapse: 1 of 3 groups keep a tenth or so while the others keep 100%" in found
    assert f'the worst is "{key}" with {floor} of {SIZES[key]}' in found
    assert said(analysis, {key: floor + 1}) == ""


def test_nothing_is_told_where_the_budget_asks_for_it(analysis: Analysis) -> None:
    assert said(analysis, {"A[0]": 4, "C[0]": 5, "D[0]": 2}) == ""
    assert said(analysis, {"A[0]": 4, "C[0]": 9, "D[0]": 4}) == "", "the others keep less than twice as much"
    assert said(analysis, {"A[0]": 4, "C[0]": 12, "D[0]": 5}) != ""
    assert said(analysis, {"A[0]": 4}, UNIFORM) == ""


def test_what_was_measured_to_matter_little_may_lie_at_the_floor(analysis: Analysis) -> None:
    assert said(analysis, {"A[0]": 4}, MEASURED) == ""
    assert "with 1 of 36" in said(analysis, {"A[0]": 1}, MEASURED), "but not below it"


def test_a_floor_that_is_rounded_up_counts_until_much_is_left(analysis: Analysis) -> None:
    assert "with 8 of 48" in said(analysis, {"C[0]": 8}, step=8)
    assert said(analysis, {"A[0]": 8}, step=8) == "", "8 of 36 is more than a fifth"


def test_the_remedy_is_one_that_can_help(analysis: Analysis) -> None:
    assert "try --normaliser mean, or a --min-keep above 0.1" in said(analysis, {"A[0]": 4})
    for parts in (COMPARED, BY_LAYER):
        assert "try --allocation uniform, or a --min-keep above 0.1" in said(analysis, {"A[0]": 4}, parts)


def test_what_the_user_said_is_no_collapse(analysis: Analysis) -> None:
    options = Options(
        None, parse_targets(["params=0.9"]), criterion="l1", allocation="global", ratios={"A[0]": 0.95}
    )
    decision = decide(analysis, options)
    assert decision.keeps[analysis.by_key["A[0]"].atom].count == 2
    assert not any("collapse" in n for n in decision.notes)
