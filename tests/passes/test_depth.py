"""Scores of layers against their formulas, and what a decision and a repair make of layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from graphprune.analysis import LAYERS, CostModel
from graphprune.compensate import with_weights
from graphprune.compensate.trial import one_shot
from graphprune.decide import Options, decide, parse_targets
from graphprune.dims import Slots
from graphprune.errors import ModelError, PlanError
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import ScoringProblem, all_passes, find_pass
from graphprune.pipeline import run_pipeline
from graphprune.plan import keeps_of, make_plan
from graphprune.plan.plan import parse_plan
from graphprune.rewrite import masked
from graphprune.run import Settings
from graphprune.runtime.session import open_session
from graphprune.statistics import Statistics
from graphprune.testing import analysed
from graphprune_passes.depth.greedy import blocks_of
from tests.hard_cases.oracle import run
from tests.hard_cases.test_layers import ATTENTION, PRE_NORM, SHARED
from tests.rules.building import build

NOTHING = Slots(np.zeros(0, np.int64))
DEPTH = [name for kind, name in all_passes() if kind == "depth"]
# Four branches; the second one hardly does anything.
CHAIN = """net (float[B, 6] in) => (float[B, 5] y)
    <float[6, 8] E, float[8, 12] A1, float[12, 8] C1, float[8, 12] A2, float[12, 8] C2, float[8, 12] A3, float[12, 8] C3,
     float[8, 12] A4, float[12, 8] C4, float[8, 5] H>
    { x = MatMul(in, E)  a1 = MatMul(x, A1)  r1 = Relu(a1)  c1 = MatMul(r1, C1)  x1 = Add(x, c1)
      a2 = MatMul(x1, A2)  r2 = Relu(a2)  c2 = MatMul(r2, C2)  x2 = Add(x1, c2)
      a3 = MatMul(x2, A3)  r3 = Relu(a3)  c3 = MatMul(r3, C3)  x3 = Add(x2, c3)
      a4 = MatMul(x3, A4)  r4 = Relu(a4)  c4 = MatMul(r4, C4)  x4 = Add(x3, c4)  y = MatMul(x4, H) }"""


def chain() -> onnx.ModelProto:
    draw = np.random.default_rng(3)
    sizes = {"C1": 0.3, "C2": 0.001, "C3": 0.2, "C4": 0.5}
    return build(CHAIN, **{k: (s * draw.normal(size=(12, 8))).astype(np.float32) for k, s in sizes.items()})


def data(model: onnx.ModelProto, count: int = 96) -> dict[str, NDArray[np.float32]]:
    shape = [d.dim_value or 7 for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {"in": np.random.default_rng(4).normal(size=(count, *shape[1:])).astype(np.float32)}


def prepared(model: onnx.ModelProto) -> Inputs:
    normal, analysis = analysed(model)
    return prepare_inputs(normal, analysis, Wanted(data(model)), 0)


def problem(inputs: Inputs) -> ScoringProblem:
    return ScoringProblem(inputs.analysis, inputs.analysis.switches, 0, inputs.statistics)


def scores_of(inputs: Inputs, name: str) -> dict[str, float]:
    found = find_pass("depth", name).run(problem(inputs))
    return {inputs.analysis.by_atom[a].key: float(v[0]) for a, v in found.items()}


def keys(inputs: Inputs) -> list[str]:
    return [x.key for x in inputs.analysis.layers]


@pytest.fixture(scope="module")
def links() -> Inputs:
    return prepared(chain())


@pytest.fixture(scope="module")
def transformer() -> Inputs:
    return prepared(build(PRE_NORM))


@pytest.mark.parametrize("name", DEPTH)
def test_every_layer_has_one_score_and_the_same_each_time(name: str, transformer: Inputs) -> None:
    found = find_pass("depth", name).run(problem(transformer))
    assert found.keys() == {x.atom for x in transformer.analysis.layers}
    assert all(v.shape == (1,) and np.isfinite(v).all() and v[0] >= 0 for v in found.values())
    assert len({float(v[0]) for v in found.values()}) == len(found)
    again = find_pass("depth", name).run(problem(transformer))
    assert all(np.array_equal(v, again[a]) for a, v in found.items())


@pytest.mark.parametrize("name", [n for n in DEPTH if n != "gate-norm"])
def test_what_hardly_does_anything_goes_first(name: str, links: Inputs) -> None:
    found = scores_of(links, name)
    order = sorted(found, key=lambda k: found[k])
    if name == "greedy-js":  # the first 40 % go last
        assert set(order[-1:]) == {keys(links)[0]}
    else:
        assert order[0] == keys(links)[1]


def test_block_influence_is_one_minus_the_cosine(links: Inputs) -> None:
    names = ["x1", "c2"]
    tensors = [next(iter(links.statistics.tensors(names, [b]))) for b in links.statistics.batches]
    x, c = (np.concatenate([t[n] for t in tensors]).astype(np.float64) for n in names)
    cosine = (x * (x + c)).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(x + c, axis=1)
    assert scores_of(links, "block-influence")[keys(links)[1]] == pytest.approx(
        1 - cosine.mean(), rel=1e-3, abs=1e-9
    )


def test_output_loss_is_what_the_outputs_lose_when_the_mean_stays(links: Inputs) -> None:
    trials = links.statistics.trials
    before = np.concatenate([next(iter(links.statistics.tensors(["y"], [b])))["y"] for b in trials])[:64]
    learnt = [next(iter(links.statistics.tensors(["c4"], [b])))["c4"] for b in links.statistics.batches]
    branch = np.concatenate([next(iter(links.statistics.tensors(["c4"], [b])))["c4"] for b in trials])[:64]
    head = onnx.numpy_helper.to_array(next(t for t in chain().graph.initializer if t.name == "H"))
    lost = (np.concatenate(learnt).mean(axis=0) - branch) @ head
    expected = np.square(lost).sum() / np.square(before - before.mean()).sum()
    assert scores_of(links, "output-loss")[keys(links)[3]] == pytest.approx(expected, rel=0.05)


def weights_of(inputs: Inputs, *names: str) -> list[NDArray[np.float64]]:
    return [inputs.analysis.facts.weights[n].numpy().astype(np.float64) for n in names]


def test_gate_norm_is_the_product_of_queries_and_keys_with_the_gain_in_front(transformer: Inputs) -> None:
    q, k, gain = weights_of(transformer, "Q", "K", "gain1")
    q, k = gain[:, None] * q, gain[:, None] * k
    heads = [(q[:, s : s + 4] @ k[:, s : s + 4].T) for s in (0, 4)]
    expected = np.sqrt(sum(np.square(h).sum() for h in heads))
    found = scores_of(transformer, "gate-norm")
    attention, perceptron = keys(transformer)
    assert found[attention] == pytest.approx(expected, rel=1e-4)
    assert found[perceptron] > 1e5 * found[attention]


def test_gate_norm_of_a_fused_projection_and_of_turned_queries() -> None:
    split = ATTENTION.format(x="g", a="a").replace(
        "q = MatMul(g, Q)  k = MatMul(g, K)  v = MatMul(g, V)",
        "qkv = MatMul(g, W)  q, k, v = Split <axis = 2> (qkv, thirds)",
    )
    fused = PRE_NORM.replace(ATTENTION.format(x="g", a="a"), split)
    fused = fused.replace("float[8, 5] H", "float[8, 24] W, int64[3] thirds = {8, 8, 8}, float[8, 5] H")
    draw = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    one = build(PRE_NORM, Q=draw[0], K=draw[1], V=draw[2])
    other = build(fused, W=np.concatenate(draw, axis=1))
    gain = next(t for t in one.graph.initializer if t.name == "gain1")
    for tensor in other.graph.initializer:
        if tensor.name == "gain1":
            tensor.CopyFrom(gain)
    turned = PRE_NORM.replace("s = MatMul(qh, kh)", "t = Tanh(qh)  qt = Add(qh, t)  s = MatMul(qt, kh)")
    third = build(turned, Q=draw[0], K=draw[1], V=draw[2])
    found = []
    for model in (one, other, third):
        inputs = prepared(model)
        found.append(scores_of(inputs, "gate-norm")[keys(inputs)[0]])
    np.testing.assert_allclose(found, found[0], rtol=1e-4)


def test_gate_norm_without_attention_says_so(links: Inputs) -> None:
    with pytest.raises(ModelError, match="finds no attention"):
        find_pass("depth", "gate-norm").run(problem(links))


def test_a_block_is_an_attention_layer_with_what_follows(transformer: Inputs, links: Inputs) -> None:
    assert [len(b) for b in blocks_of(transformer.analysis, transformer.analysis.switches)] == [2]
    assert [len(b) for b in blocks_of(links.analysis, links.analysis.switches)] == [1, 1, 1, 1]


# -- decisions --------------------------------------------------------------------------------------


def removed(inputs: Inputs, options: Options) -> list[str]:
    decision = decide(inputs.analysis, options, observed=inputs.statistics)
    return [k for k in keys(inputs) if inputs.analysis.by_key[k].atom in decision.keeps]


def test_a_ratio_is_a_share_of_the_layers(links: Inputs) -> None:
    for ratio, count in ((0.25, 1), (0.49, 1), (0.5, 2), (0.99, 3)):
        found = removed(links, Options(ratio=ratio, recipe="shortgpt"))
        assert len(found) == count
        assert keys(links)[1] in found


def test_layers_go_only_if_they_are_asked_for(links: Inputs) -> None:
    decision = decide(links.analysis, Options(ratio=0.5, criterion="l1"))
    assert all(a > 0 for a in decision.keeps)
    assert not any(k in decision.candidates.reasons for k in keys(links))


@pytest.mark.parametrize("recipe", ["laptop", "shortgpt", "gp-depth"])
def test_budgets_are_met(recipe: str, links: Inputs) -> None:
    options = Options(ratio=None, targets=parse_targets(["params=0.6"]), recipe=recipe)
    decision = decide(links.analysis, options, observed=links.statistics)
    assert decision.after.params <= 0.6 * decision.before.params
    assert keys(links)[1] in removed(links, options)


@pytest.mark.parametrize("recipe", ["auto", "gp-best"])
def test_layers_are_weighed_against_widths(recipe: str, links: Inputs) -> None:
    options = Options(
        ratio=None, targets=parse_targets(["macs=0.75"]), recipe=recipe, structures=("neurons", LAYERS)
    )
    decision = decide(links.analysis, options, observed=links.statistics)
    kept = {links.analysis.by_atom[a].key: s.count for a, s in decision.keeps.items()}
    assert kept.get(keys(links)[1]) == 0, "it costs next to nothing"
    inner = links.analysis.inner_groups(frozenset({links.analysis.by_key[keys(links)[1]].atom}))
    assert inner
    assert not inner & decision.keeps.keys(), "what lives in it goes with it"
    assert decision.after.macs <= 0.75 * decision.before.macs


def test_a_layer_that_need_not_have_gone_comes_back() -> None:
    """The least of all goes first, but saves little; once a large one has gone too, it was not needed."""
    text = CHAIN.replace("float[8, 12] A2, float[12, 8] C2", "float[8, 4] A2, float[4, 8] C2")
    text = text.replace("float[8, 12] A3, float[12, 8] C3", "float[8, 24] A3, float[24, 8] C3")
    draw = np.random.default_rng(3)
    shapes = {"C1": (0.9, 12), "C2": (0.001, 4), "C3": (0.05, 24), "C4": (0.9, 12)}
    model = build(
        text, **{k: (s * draw.normal(size=(n, 8))).astype(np.float32) for k, (s, n) in shapes.items()}
    )
    inputs = prepared(model)
    for target, gone in ((0.95, [1]), (0.6, [2]), (0.53, [1, 2])):
        options = Options(ratio=None, targets=parse_targets([f"macs={target}"]), recipe="shortgpt")
        assert removed(inputs, options) == [keys(inputs)[k] for k in gone]


def test_scores_that_count_different_things_are_not_compared(links: Inputs) -> None:
    options = Options(
        ratio=None, targets=parse_targets(["macs=0.6"]), recipe="depgraph", structures=("neurons", LAYERS)
    )
    decision = decide(links.analysis, options, observed=links.statistics)
    gone = [a for a in decision.keeps if a < 0]
    assert len(gone) == int(4 * decision.share), "the same share of layers as of slots"
    assert decision.after.macs <= 0.6 * decision.before.macs


def test_names_pick_layers(links: Inputs) -> None:
    options = Options(ratio=0.99, recipe="shortgpt", only=("C3", "A4"))
    assert removed(links, options) == [keys(links)[2]]  # one of two
    left = removed(links, Options(ratio=0.99, recipe="shortgpt", exclude=("C1",)))
    assert len(left) == 2
    assert keys(links)[0] not in left


def test_weights_alone_decide_where_nothing_is_run() -> None:
    _, analysis = analysed(chain())
    decision = decide(analysis, Options(ratio=0.25, recipe="plain", structures=(LAYERS,)))
    assert decision.parts is not None
    assert decision.parts.depth == "weight-norm"
    assert [analysis.by_atom[a].key for a in decision.keeps] == [analysis.layers[1].key]


# -- plans, repair, command line ---------------------------------------------------------------------


def test_a_plan_keeps_nothing_of_a_layer_and_comes_back(links: Inputs) -> None:
    options = Options(ratio=0.25, recipe="shortgpt")
    decision = decide(links.analysis, options, observed=links.statistics)
    plan = make_plan(links.analysis, decision, options, {})
    read = json.loads(plan.to_json())
    assert read["groups"][keys(links)[1]] == {
        "kept": [], "kind": "layers", "outer": [], "scores": read["groups"][keys(links)[1]]["scores"], "size": 1
    }  # fmt: skip
    keeps = keeps_of(parse_plan(read, "plan"), links.analysis)
    assert [s.count for s in keeps.values()] == [0]
    read["groups"]["A1[1]"] = {"kept": [], "kind": "neurons", "size": 12}
    with pytest.raises(PlanError, match="does not fit"):
        keeps_of(parse_plan(read, "plan"), links.analysis)


@pytest.mark.parametrize("text", [PRE_NORM, SHARED], ids=["biased", "shared"])
def test_the_mean_of_a_removed_branch_moves_into_the_bias(text: str) -> None:
    inputs = prepared(build(text))
    layer = inputs.analysis.layers[-1]
    ends = [i for i in inputs.statistics.linear if i.weight == layer.weight]
    tensors = [u.result for i in ends for u in i.uses]
    trial = one_shot(inputs.statistics, {layer.atom: NOTHING}, ends)
    repair = inputs.repair({layer.atom: NOTHING}, "refit", 1 << 28, 0, lambda _: None)
    assert not repair.weights[layer.weight].any()
    for name in tensors:
        found = [next(iter(inputs.statistics.tensors([name], [b])))[name] for b in inputs.statistics.batches]
        mean = np.concatenate([f.reshape(-1, f.shape[-1]) for f in found]).mean(axis=0)
        bias = next(u.bias for i in ends for u in i.uses if u.result == name)
        if len(tensors) == 1:
            np.testing.assert_allclose(repair.weights[bias], mean, atol=1e-4)
        else:  # one mean over all places that share the weight
            assert repair.weights[bias].shape == mean.shape
        assert trial[bias].shape == mean.shape


def test_a_repaired_model_without_layers_is_proved() -> None:
    model = chain()
    options = Options(ratio=0.5, recipe="gp-depth")
    run_ = run_pipeline(model, options, Settings(benchmark=False, wanted=Wanted(data(model))))
    assert run_.equivalence.status == "equal"
    assert len([a for a in run_.decision.keeps if a < 0]) == 2
    assert run_.repair.weights


def test_statistics_agree_with_the_masked_model(links: Inputs) -> None:
    """What a trial runs is the masked model, but for the mean that stays."""
    keeps = {links.analysis.layers[3].atom: NOTHING}
    assert isinstance(links.statistics, Statistics)
    trial = with_weights(links.model, one_shot(links.statistics, keeps, []))
    feeds = dict(links.statistics.batches[0])
    with open_session(trial) as session:
        found = session.run(feeds)
    np.testing.assert_allclose(
        found["y"], run(masked(links.model, links.analysis, keeps), feeds)[0], atol=1e-5
    )
    assert (
        CostModel(links.analysis).cost(dict.fromkeys(keeps, 0)).params
        < CostModel(links.analysis).cost().params
    )


def test_the_command_line_removes_layers_and_lists_them(cli: Callable[..., Any], tmp_path: Path) -> None:
    onnx.save(chain(), tmp_path / "chain.onnx")
    np.savez(tmp_path / "in.npz", **data(chain()))
    out = tmp_path / "out.onnx"
    done = cli(
        tmp_path / "chain.onnx", "--recipe", "shortgpt", "--ratio", "0.25", "--calib", tmp_path / "in.npz", "-o", out,
        "--no-benchmark", "--report", tmp_path / "page.html", "--json", tmp_path / "report.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "layers removed: 1" in done.out
    report = json.loads((tmp_path / "report.json").read_text())
    (group,) = report["groups"]
    assert (group["kind"], group["before"], group["after"], group["members"]) == ("layers", 1, 0, 2)
    assert sum(row["after"]["width"] == 0 for row in report["layers"]) == 2
    assert report["method"]["parts"] == {
        "allocation": "uniform",
        "compensation": "none",
        "depth": "block-influence",
    }
    assert "1 whole layer" in (tmp_path / "page.html").read_text()
    shown = cli("inspect", tmp_path / "chain.onnx", "--json", tmp_path / "groups.json")
    assert "4 of 4 layers can be removed whole" in shown.out
    assert len(json.loads((tmp_path / "groups.json").read_text())["layers"]) == 4
