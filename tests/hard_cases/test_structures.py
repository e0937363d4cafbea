"""Kinds of dimensions that a user may ask for by name, alone and at sharp ratios."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest

from graphprune.decide import Options, decide
from graphprune.errors import PlanError
from graphprune.plan import keeps_of, make_plan
from graphprune.testing import Outcome, analysed, prune_at_random
from tests.hard_cases.oracle import assert_exact, run
from tests.hard_cases.test_handmade import HANDMADE
from tests.rules.building import Case, build
from tests.rules.cases import CASES

EXPERTS = (
    "mixture_of_experts",
    "experts_picked",
    "experts_scattered",
    "experts_one_hot",
    "experts_compared",
    "experts_in_rows",
    "experts_in_turn",
    "experts_by_slices",
    "experts_stacked",
    "one_expert_each",
)
SOFT = ("mixture_of_experts", "experts_by_slices", "experts_stacked", "one_expert_each")


def kept(outcome: Outcome) -> dict[str, int]:
    """Kind and number of kept slots of what was cut."""
    return {outcome.analysis.by_atom[a].kind: s.count for a, s in outcome.decision.keeps.items()}


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("seed", range(3))
def test_experts_alone(name: str, seed: int) -> None:
    outcome = prune_at_random(HANDMADE[name](), structures=("experts",), seed=seed)
    assert kept(outcome).keys() == {"experts"}
    assert_exact(outcome)


@pytest.mark.parametrize("name", EXPERTS)
def test_as_many_experts_stay_as_are_chosen(name: str) -> None:
    outcome = prune_at_random(HANDMADE[name](), 0.99, structures=("experts",))
    assert kept(outcome) == {"experts": 1 if name in SOFT else 2}
    assert_exact(outcome)


_FUSED = [c for c in CASES if c.op.endswith("MoE") and "R[1]" in c.cut.split()]


@pytest.mark.parametrize("case", _FUSED, ids=lambda c: c.name)
@pytest.mark.parametrize(("ratio", "left"), [(0.25, 3), (0.99, 2)])
def test_experts_of_one_operator(case: Case, ratio: float, left: int) -> None:
    outcome = prune_at_random(case.model(), ratio, structures=("experts",))
    assert kept(outcome) == {"experts": left}  # two are chosen
    assert_exact(outcome)


WRITTEN_OUT = ("experts_in_rows", "experts_in_turn", "experts_by_slices", "experts_stacked")


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_the_cost_counts_experts_that_are_written_out(name: str) -> None:
    outcome = prune_at_random(HANDMADE[name](), structures=("experts",))
    assert outcome.decision.after.params == sum(
        math.prod(v.const_value.shape.numpy())
        for v in outcome.pruned.graph.initializers.values()
        if v.const_value
    )
    products = [n for n in outcome.model.graph if n.op_type == "MatMul"]
    assert len([n for n in outcome.pruned.graph if n.op_type == "MatMul"]) == len(products) - 4  # two experts


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_the_weights_of_an_expert_that_is_written_out_count_for_its_score(name: str) -> None:
    model = HANDMADE[name]()
    _, analysis = analysed(model)
    owned = {n for n in analysis.owners if n.startswith("W_")}
    for tensor in model.graph.initializer:
        if tensor.name in owned and int(analysis.owners[tensor.name].index[0]) == 2:
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 0.01, tensor.name)
            )
    _, analysis = analysed(model)
    (scores,) = decide(analysis, Options(criterion="l2-group", structures=("experts",))).scores.values()
    assert scores.argmin() == 2


def test_experts_that_are_all_chosen_stay() -> None:
    text = """net (float[n, 6] x) => (float[N, V] y) <float[6, 3] R, float[3, 6, 4] W, float[4, 5] B, int64[1] k = {3}, int64[1] one = {1}>
        { s = MatMul(x, R)  p = Softmax(s)  v, i = TopK(p, k)  m = Gather(W, i)  x2 = Unsqueeze(x, one)  x3 = Unsqueeze(x2, one)
          h = MatMul(x3, m)  z = ReduceSum <keepdims = 0> (h, one)  w = Squeeze(z, one)  y = MatMul(w, B) }"""
    outcome = prune_at_random(build(text))
    assert "as many are chosen" in outcome.reason("R[1]")


def test_numbers_of_experts_that_are_read_as_numbers_freeze_them() -> None:
    text = """net (float[n, 6] x) => (float[N, V] y, int64[N, K] which) <float[6, 4] R, float[4, 6, 4] W, float[4, 5] B, int64[1] k = {2}, int64[1] one = {1}>
        { s = MatMul(x, R)  v, which = TopK(s, k)  m = Gather(W, which)  x2 = Unsqueeze(x, one)  x3 = Unsqueeze(x2, one)
          h = MatMul(x3, m)  z = ReduceSum <keepdims = 0> (h, one)  w = Squeeze(z, one)  y = MatMul(w, B) }"""
    outcome = prune_at_random(build(text))
    assert 'given out as graph output "which"' in outcome.reason("R[1]")


def test_channels_under_a_softmax_are_no_experts() -> None:
    text = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 5] B>
        { h = MatMul(x, A)  s = Softmax(h)  m = Mul(h, s)  y = MatMul(m, B) }"""
    assert "compared slot by slot" in prune_at_random(build(text)).reason("A[1]")


@pytest.mark.parametrize("name", ["rotary", "rotary_interleaved", "rotary_reshaped", "gqa_attention"])
@pytest.mark.parametrize("kind", ["head-dim", "heads", "kv-groups"])
def test_attention_one_kind_at_a_time(name: str, kind: str) -> None:
    outcome = prune_at_random(HANDMADE[name](), structures=(kind,))
    if (kind == "kv-groups") != (name in ("rotary_reshaped", "gqa_attention")) and kind == "kv-groups":
        assert not outcome.decision.keeps
        return
    assert kept(outcome).keys() == {kind}
    assert_exact(outcome)


def test_the_tables_of_angles_go_with_the_pairs() -> None:
    outcome = prune_at_random(HANDMADE["rotary_interleaved"](), structures=("head-dim",))
    tables = [n for n in outcome.pruned.graph.initializers if n.startswith("turn")]
    assert tables
    assert {outcome.size(n, 1) for n in tables} == {2}


@pytest.mark.parametrize("name", ["tied_embedding", "tied_embedding_gemm"])
def test_a_vocabulary_goes_only_on_request_and_keeps_its_size_outside(name: str) -> None:
    model = HANDMADE[name]()
    assert "(--structures vocabulary to cut it)" in prune_at_random(model).reason("W_1[0]")
    outcome = prune_at_random(model, structures=("vocabulary",))
    assert kept(outcome) == {"vocabulary": 12}
    assert_exact(outcome)
    (slots,) = outcome.decision.keeps.values()
    ids = np.arange(24).reshape(2, 12)
    found = run(outcome.pruned, {"ids": ids})[0].reshape(24, 24)
    assert np.isneginf(np.delete(found, slots.index, axis=1)).all()  # never said
    assert np.isfinite(found[:, slots.index]).all()
    removed = np.setdiff1d(ids, slots.index)
    first = np.broadcast_to(found[slots.index[0]], (len(removed), 24))
    np.testing.assert_array_equal(found[removed], first)  # read as the first that stays
    original = run(outcome.model, {"ids": ids})[0].reshape(24, 24)
    np.testing.assert_allclose(
        found[np.ix_(slots.index, slots.index)],
        original[np.ix_(slots.index, slots.index)],
        rtol=1e-4,
        atol=1e-5,
    )


def test_an_output_of_shares_gives_removed_words_none() -> None:
    text = """net (int64[n, t] tokens, int64[n, t] position_ids) => (float[N, T, V] y) <float[20, 6] E, float[9, 6] P, float[6, 20] H>
        { e = Gather(E, tokens)  p = Gather(P, position_ids)  h = Add(e, p)  l = MatMul(h, H)  y = Softmax(l) }"""
    outcome = prune_at_random(build(text), structures=("vocabulary",))
    assert kept(outcome) == {"vocabulary": 10}
    assert (outcome.size("E", 0), outcome.size("H", 1), outcome.size("P", 0)) == (10, 10, 9)
    assert_exact(outcome)


def test_two_vocabularies_of_one_size_are_not_taken_for_one() -> None:
    text = """net (int64[n, t] source, int64[n, t] target) => (float[N, T, V] y) <float[20, 6] E, float[20, 6] P, float[6, 20] H>
        { e = Gather(E, source)  p = Gather(P, target)  h = Add(e, p)  y = MatMul(h, H) }"""
    outcome = prune_at_random(build(text), structures=("vocabulary",))
    assert (outcome.size("E", 0), outcome.size("P", 0), outcome.size("H", 1)) == (10, 10, 20)
    assert_exact(outcome)


def test_a_plan_may_not_keep_fewer_experts_than_are_chosen() -> None:
    _, analysis = analysed(HANDMADE["experts_picked"]())
    options = Options()
    plan = make_plan(analysis, decide(analysis, options), options, {})
    key = next(g.key for g in analysis.groups if g.kind == "experts")
    fewer = replace(plan, groups={**plan.groups, key: replace(plan.groups[key], kept=[1])})
    with pytest.raises(PlanError, match="must keep at least 2 of its slots"):
        keeps_of(fewer, analysis)


def test_a_gate_of_shares_is_cut_on_request_only() -> None:
    """Softmax over neurons: those that stay share what is left, as under a norm."""
    text = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 8] G, float[8, 5] B>
        { h = MatMul(x, A)  g = MatMul(h, G)  s = Softmax(g)  m = Mul(h, s)  y = MatMul(m, B) }"""
    assert not prune_at_random(build(text)).decision.keeps
    assert prune_at_random(build(text), structures=("residual",)).size("B", 0) == 4


def test_the_best_share_of_some_experts_stays_the_best() -> None:
    """A switch: the largest share and its place are taken by ReduceMax and ArgMax."""
    text = """net (float[n, 6] x) => (float[N, V] y) <float[6, 4] R, float[4, 6, 4] W, float[4, 5] B, int64[1] last = {1}, int64[1] one = {1}>
        { s = MatMul(x, R)  p = Softmax(s)  v = ReduceMax <keepdims = 0> (p, last)  i = ArgMax <axis = 1, keepdims = 0> (p)
          m = Gather(W, i)  x2 = Unsqueeze(x, one)  h = MatMul(x2, m)  w = Squeeze(h, one)  v2 = Unsqueeze(v, one)  z = Mul(w, v2)
          y = MatMul(z, B) }"""
    outcome = prune_at_random(build(text), structures=("experts",))
    assert outcome.size("R", 1) == 2
    assert_exact(outcome)
