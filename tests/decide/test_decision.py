"""How many slots each group keeps: ratios, rounding and budgets."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.analysis import Analysis, CostModel
from graphprune.decide import Decision, Options, decide, parse_targets
from graphprune.errors import TargetError, UsageError
from graphprune.passes import best_slots
from graphprune.testing import analysed
from tests.rules.building import build

NET = """net (float[n, 3, 16, 16] x) => (float[N, V] y)
    <float[32, 3, 3, 3] A, float[48, 32, 3, 3] C, float[20, 48, 3, 3] D, float[20, 10] H>
    { a = Conv(x, A)  ar = Relu(a)  c = Conv(ar, C)  cr = Relu(c)  d = Conv(cr, D)  dr = Relu(d)
      p = GlobalAveragePool(dr)  q = Flatten(p)  y = MatMul(q, H) }"""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysed(build(NET))[1]


def counts(analysis: Analysis, decision: Decision) -> dict[str, int]:
    return {analysis.by_atom[a].key: s.count for a, s in decision.keeps.items()}


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0.5, (16, 24, 10)), (0.25, (24, 36, 15)), (0.3, (23, 34, 14)), (0.99, (1, 1, 1)), (0.01, (32, 48, 20))],
)
def test_a_ratio_is_the_share_removed_from_each_group(
    analysis: Analysis, ratio: float, expected: tuple[int, ...]
) -> None:
    decision = decide(analysis, Options(ratio=ratio))
    found = counts(analysis, decision)
    assert tuple(found.get(k, analysis.by_key[k].size) for k in ("A[0]", "C[0]", "D[0]")) == expected


def test_own_ratios_of_some_groups(analysis: Analysis) -> None:
    by_key = decide(analysis, Options(ratio=0.5, ratios={"C[0]": 0.25}))
    assert counts(analysis, by_key) == {"A[0]": 16, "C[0]": 36, "D[0]": 10}
    by_weight = decide(analysis, Options(ratio=0.5, ratios={"C*": 0.25}))  # both dimensions of that weight
    assert counts(analysis, by_weight) == {"A[0]": 24, "C[0]": 36, "D[0]": 10}


@pytest.mark.parametrize("multiple", [4, 8, 16])
def test_kept_channels_are_rounded_up_to_a_multiple(analysis: Analysis, multiple: int) -> None:
    found = counts(analysis, decide(analysis, Options(ratio=0.45, round_to=multiple)))
    for key, kept in (("A[0]", 18), ("C[0]", 27), ("D[0]", 11)):
        size = analysis.by_key[key].size
        assert found.get(key, size) == min(size, -(-kept // multiple) * multiple)


def test_rounding_that_keeps_a_group_whole_is_told(analysis: Analysis) -> None:
    decision = decide(analysis, Options(ratio=0.5, round_to=32))
    assert counts(analysis, decision) == {"C[0]": 32}
    assert any("kept whole because of --round-to 32" in n for n in decision.notes)


# The largest change of a measure that one slot of any group makes.
def one_step(analysis: Analysis, decision: Decision, measure: str, step: int) -> float:
    costs = CostModel(analysis)
    kept = {a: s.count for a, s in decision.keeps.items()}
    here = getattr(costs.cost(kept), measure)
    more = [getattr(costs.cost(kept | {a: c + step}), measure) - here for a, c in kept.items()]
    return float(sum(more))


@pytest.mark.parametrize("allocation", ["uniform", "global"])
@pytest.mark.parametrize(
    ("name", "measure"), [("macs", "macs"), ("params", "params"), ("size", "weight_bytes")]
)
@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
@pytest.mark.parametrize("step", [1, 4])
def test_budgets_are_met_within_one_rounding_step(
    analysis: Analysis, allocation: str, name: str, measure: str, share: float, step: int
) -> None:
    options = Options(
        None, parse_targets([f"{name}={share}"]), allocation=allocation, round_to=step, min_keep=0.05
    )
    decision = decide(analysis, options)
    limit = share * getattr(decision.before, measure)
    reached = getattr(decision.after, measure)
    assert reached <= limit
    assert reached > limit - one_step(analysis, decision, measure, step)


def test_the_cost_after_is_the_cost_of_what_is_kept(analysis: Analysis) -> None:
    decision = decide(analysis, Options(ratio=0.5))
    assert decision.after.params == 16 * 27 + 24 * 16 * 9 + 10 * 24 * 9 + 10 * 10
    assert decision.after == CostModel(analysis).cost({a: s.count for a, s in decision.keeps.items()})


def test_several_budgets_hold_at_once(analysis: Analysis) -> None:
    decision = decide(analysis, Options(None, parse_targets(["macs=0.6,params=0.3"])))
    assert decision.after.macs <= 0.6 * decision.before.macs
    assert decision.after.params <= 0.3 * decision.before.params


def test_bytes_besides_the_weights_count_for_the_size(analysis: Analysis) -> None:
    options = Options(None, parse_targets(["size=0.5"]))
    without, beside = decide(analysis, options), decide(analysis, options, overhead_bytes=20_000)
    assert beside.after.weight_bytes + 20_000 <= 0.5 * (beside.before.weight_bytes + 20_000)
    assert beside.after.weight_bytes < without.after.weight_bytes


def test_a_budget_that_is_met_already_cuts_nothing(analysis: Analysis) -> None:
    decision = decide(analysis, Options(None, parse_targets(["params=100M"])))
    assert not decision.keeps
    assert decision.share == 0


def test_a_budget_out_of_reach_says_what_can_be_reached(analysis: Analysis) -> None:
    with pytest.raises(
        TargetError, match=r"macs=0\.001 cannot be reached.*leaves macs=0\.\d+ \([\d,]+ of [\d,]+\)"
    ) as caught:
        decide(analysis, Options(None, parse_targets(["macs=0.001"]), min_keep=0.5))
    assert caught.value.exit_code == 4
    reached = float(str(caught.value).split("leaves macs=")[1].split(" ")[0])
    again = decide(analysis, Options(None, parse_targets([f"macs={reached + 0.001:.3f}"]), min_keep=0.5))
    assert again.after.macs <= (reached + 0.001) * again.before.macs


def test_groups_keep_their_floor_under_a_global_ranking(analysis: Analysis) -> None:
    decision = decide(analysis, Options(ratio=0.85, allocation="global", min_keep=0.1, criterion="l1"))
    assert all(c >= np.ceil(0.1 * analysis.by_key[k].size) for k, c in counts(analysis, decision).items())


def test_the_best_slots_stay() -> None:
    scores = np.array([[3.0, 1.0, 2.0, 2.0], [0.0, 5.0, 1.0, 4.0]])
    assert best_slots(scores, 2).tolist() == [[0, 2], [1, 3]]
    assert best_slots(np.ones(4), 3).tolist() == [0, 1, 2]  # ties go to the lower index


def test_the_same_wish_gives_the_same_decision(analysis: Analysis) -> None:
    one, two = (decide(analysis, Options(criterion="random", seed=3)) for _ in range(2))
    other = decide(analysis, Options(criterion="random", seed=4))
    assert all(np.array_equal(one.keeps[a].index, two.keeps[a].index) for a in one.keeps)
    assert any(not np.array_equal(one.keeps[a].index, other.keeps[a].index) for a in one.keeps)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"ratio": 1.5}, "must be at least 0 and below 1, got 1.5"),
        ({"ratio": 1.0}, "must be at least 0 and below 1, got 1"),
        ({"ratios": {"A": 2.0}}, "ratio of 'A' must be at least 0 and below 1"),
        ({"ratio": None}, "either a ratio or a target"),
        ({"ratio": 0.5, "targets": parse_targets(["macs=0.5"])}, "either a ratio or a target"),
        ({"round_to": 0}, "--round-to must be at least 1"),
        ({"min_keep": 1.0}, r"--min-keep must lie in \[0, 1\)"),
    ],
)
def test_wishes_that_make_no_sense(wish: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**wish)  # type: ignore[arg-type]


def test_ratios_of_groups_that_do_not_exist(analysis: Analysis) -> None:
    with pytest.raises(UsageError, match=r"no prunable dimension matches 'nothing\*'"):
        decide(analysis, Options(ratios={"nothing*": 0.5}))
