"""Scores of experts against their formulas, in every form in which exporters write mixtures."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.errors import UsageError
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import ScoringProblem, find_pass
from graphprune.testing import analysed
from graphprune_passes.criteria.mixtures import find_mixture
from graphprune_passes.criteria.routers import given_up_at
from tests.hard_cases.test_handmade import HANDMADE
from tests.hard_cases.test_structures import EXPERTS, SOFT
from tests.rules.building import build

Floats = NDArray[np.float64]


def feeds(model: onnx.ModelProto, seed: int = 0, batch: int = 2) -> dict[str, NDArray[np.float32]]:
    """Random inputs: rows or sequences of five."""
    (given,) = model.graph.input
    shape = [
        {"batch": batch, "sequence": 5}.get(d.dim_param, d.dim_value)
        for d in given.type.tensor_type.shape.dim
    ]
    return {"x": np.random.default_rng(seed).normal(size=shape).astype(np.float32)}


def inputs_of(model: onnx.ModelProto, count: int = 3) -> Inputs:
    normal, analysis = analysed(model)
    return prepare_inputs(normal, analysis, Wanted([feeds(model, seed=k, batch=6) for k in range(count)]), 0)


def scores(inputs: Inputs, criterion: str, kind: str = "experts") -> list[Floats]:
    """What a criterion says of all groups of a kind."""
    groups = tuple(g for g in inputs.analysis.groups if g.kind == kind and not g.frozen)
    problem = ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    found = find_pass("criterion", criterion).run(problem)
    return [found[g.atom][0].values for g in groups]


def initialisers(model: onnx.ModelProto) -> dict[str, Floats]:
    return {i.name: onnx.numpy_helper.to_array(i).astype(np.float64) for i in model.graph.initializer}


def first_layer(model: onnx.ModelProto, count: int = 3) -> Floats:
    """What the router and the experts read, `(rows, 24)`."""
    w = initialisers(model)
    x = np.concatenate([feeds(model, seed=k, batch=6)["x"] for k in range(count)]).astype(np.float64)
    return (x @ w["W_1"] + w["B_2"]).reshape(-1, 24)


def softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def shares_of_two(x: Floats, router: Floats) -> Floats:
    """Shares of the best two, which add up to one; zero for the others."""
    share = softmax(x @ router)
    worst = np.argsort(-share, axis=1)[:, 2:]
    np.put_along_axis(share, worst, 0, axis=1)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def hidden_of(name: str, w: dict[str, Floats], x: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares, neurons of all experts `(rows, experts, 16)`, and what they give `(rows, experts, 24)`."""
    if name == "experts_picked":
        h = np.einsum("ti,ehi->teh", np.maximum(x, 0), w["W_11"])
        return shares_of_two(x, w["W_4"]), h, np.einsum("teh,edh->ted", np.maximum(h, 0), w["W_12"])
    if name == "experts_scattered":
        h = np.maximum(np.einsum("ti,eih->teh", x, w["W_9"]), 0)
        return shares_of_two(x, w["W_4"]), h, np.einsum("teh,ehd->ted", h, w["W_10"])
    if name == "mixture_of_experts":
        h = np.maximum(np.einsum("ti,eih->teh", x, w["W_7"]), 0)
        return softmax(x @ w["W_3"] + w["B_4"]), h, np.einsum("teh,ehd->ted", h, w["W_8"])
    made, given = [], []
    places = {"experts_in_rows": (11, 8), "experts_in_turn": (10, 7), "experts_stacked": (6, 4)}
    first, step = places[name]
    for k in (first + step * e for e in range(4)):
        made.append(np.maximum(x @ w[f"W_{k}"] + w[f"B_{k + 1}"], 0))
        given.append(made[-1] @ w[f"W_{k + 2}"] + w[f"B_{k + 3}"])
    stacked = name == "experts_stacked"
    share = softmax(x @ w["W_4"] + w["B_5"]) if stacked else shares_of_two(x, w["W_4"])
    return share, np.stack(made, axis=1), np.stack(given, axis=1)


FORMS = (
    "experts_picked",
    "experts_scattered",
    "mixture_of_experts",
    "experts_in_rows",
    "experts_in_turn",
    "experts_stacked",
)


@pytest.mark.parametrize("name", FORMS)
def test_experts_count_by_what_they_give_to_the_rows_they_get(name: str) -> None:
    model = HANDMADE[name]()
    share, _, given = hidden_of(name, initialisers(model), first_layer(model))
    norms = np.linalg.norm(given, axis=2)
    rows = np.maximum((share > 0).sum(axis=0), 1)
    inputs = inputs_of(model)
    (found,) = scores(inputs, "reap")
    np.testing.assert_allclose(found, (share * norms).sum(axis=0) / rows, rtol=1e-3)
    (found,) = scores(inputs, "man")
    np.testing.assert_allclose(found, ((share > 0) * norms).sum(axis=0) / rows, rtol=1e-3)


@pytest.mark.parametrize("name", ["experts_scattered", "mixture_of_experts", "experts_in_rows"])
def test_neurons_of_experts_count_by_the_share_of_their_expert(name: str) -> None:
    model = HANDMADE[name]()
    w = initialisers(model)
    share, hidden, _ = hidden_of(name, w, first_layer(model))
    size = np.sqrt(np.square(share[:, :, None] * hidden).mean(axis=0))
    found = scores(inputs_of(model), "moe-wanda", "neurons")[1:]  # the first layer comes before the mixture
    if name == "experts_in_rows":
        readers = [w[f"W_{13 + 8 * e}"] for e in range(4)]
    else:
        readers = list(w["W_10" if name == "experts_scattered" else "W_8"])
        (stack,) = found
        found = list(stack)
    for values, reader, sizes in zip(found, readers, size, strict=True):
        np.testing.assert_allclose(values, np.abs(reader).mean(axis=1) * sizes, rtol=1e-3)


@pytest.mark.parametrize("name", EXPERTS)
def test_every_form_can_be_followed(name: str) -> None:
    inputs = inputs_of(HANDMADE[name]())
    (atom,) = (g.atom for g in inputs.analysis.groups if g.kind == "experts")
    mixture = find_mixture(inputs.analysis, atom)
    assert mixture is not None
    assert mixture.gates
    assert inputs.analysis.recording.shapes[mixture.output][mixture.axis] == 24


@pytest.mark.parametrize("recipe", ["reap", "stun"])
@pytest.mark.parametrize("name", EXPERTS)
def test_recipes_cut_experts_in_every_form(name: str, recipe: str) -> None:
    model = HANDMADE[name]()
    calib = [feeds(model, seed=k) for k in range(2)]
    result = graphprune.prune(model, 0.5, recipe=recipe, calib=calib, benchmark=False)
    assert result.report["equivalence"]["status"] == "equal"
    (group,) = result.plan.groups.values()
    assert group.kind == "experts"
    assert len(group.kept) == group.size - group.size // 2


@pytest.mark.parametrize("name", sorted(set(EXPERTS) - set(SOFT)))
def test_experts_that_the_router_prefers_stay(name: str) -> None:
    """A router that sends everything to two experts, which are then told from the others by their use."""
    model = HANDMADE[name]()
    favoured = {"W_4": (1, 3)}
    for tensor in model.graph.initializer:
        if tensor.name in favoured:
            router = onnx.numpy_helper.to_array(tensor).copy()
            router[:] = 0
            router[:, 3], router[:, 1] = 1e-3, 2e-3
            tensor.CopyFrom(onnx.numpy_helper.from_array(router, tensor.name))
        if tensor.name == "B_2":  # all rows are alike in what the router sees
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(24, 50, np.float32), tensor.name))
    calib = [feeds(model, seed=k) for k in range(2)]
    for recipe in ("reap", "man"):
        result = graphprune.prune(model, 0.5, recipe=recipe, calib=calib, verify=False, benchmark=False)
        (group,) = result.plan.groups.values()
        assert {1, 3} <= set(group.kept)


def test_of_experts_with_like_routers_one_stays() -> None:
    draw = np.random.default_rng(5)
    centres = 10 * draw.normal(size=(3, 8))
    rows = np.concatenate(
        [c + 0.1 * draw.normal(size=(size, 8)) for c, size in zip(centres, (3, 1, 4), strict=True)]
    )
    clusters = [{0, 1, 2}, {3}, {4, 5, 6, 7}]
    found = given_up_at(rows)
    best = set(np.argsort(-found)[:3].tolist())
    assert [len(best & c) for c in clusters] == [1, 1, 1]
    assert sorted(np.argsort(-found)[:2].tolist())[0] in range(8)
    assert len(np.unique(found)) == 8
    twins = given_up_at(np.ones((4, 2)))
    assert len(np.unique(twins)) == 4, "also experts that are all the same are told apart"


def test_a_lone_pair_keeps_the_one_nearer_to_both() -> None:
    rows = np.array([[0.0], [1.0], [1.9], [50.0]])
    found = given_up_at(rows)
    assert np.argmin(found) == 2, "1.0 and 1.9 are nearest; both as near to their mean, the first stays"
    assert set(np.argsort(-found)[:2].tolist()) == {1, 3}, "of 0, 1 and 1.9 the middle one"


FUSED = """net (float[batch, 6] x) => (float[N, V] y)
    <float[6, 12] A, float[6, 4] R, float[4, 10, 12] F, float[4, 10] f, float[4, 12, 10] G, float[4, 12] g, float[12, 5] B>
    { h = MatMul(x, A)  s = MatMul(x, R)
      z = com.microsoft.MoE <k = 2, activation_type = "relu", normalize_routing_weights = 1> (h, s, F, f, G, g)
      y = MatMul(z, B) }"""


@pytest.mark.parametrize("recipe", ["reap", "man", "stun"])
def test_a_mixture_that_is_one_operator_loses_experts_too(recipe: str) -> None:
    """Of those that are left two must be chosen, and an expert that is never chosen goes first."""
    model = build(FUSED)
    for tensor in model.graph.initializer:
        if tensor.name == "R":  # the second expert is the worst for every row, the third the best
            router = onnx.numpy_helper.to_array(tensor).copy()
            router[:, 1], router[:, 2] = -50, 50
            tensor.CopyFrom(onnx.numpy_helper.from_array(router, tensor.name))
    rows = [{"x": np.abs(feeds(model, seed=k, batch=6)["x"])} for k in range(2)]
    result = graphprune.prune(model, 0.25, recipe=recipe, calib=rows, benchmark=False)
    (group,) = result.plan.groups.values()
    assert group.kind == "experts"
    assert len(group.kept) == 3
    if recipe != "stun":
        assert list(group.kept) == [0, 2, 3]
    assert result.report["equivalence"]["status"] == "equal"


def test_neurons_inside_one_operator_are_read_off_too() -> None:
    model = build(FUSED)
    w = initialisers(model)
    x = np.concatenate([feeds(model, seed=k, batch=6)["x"] for k in range(3)]).astype(np.float64)
    h, share = x @ w["A"], shares_of_two(x, w["R"])
    hidden = np.maximum(np.einsum("ti,ehi->teh", h, w["F"]) + w["f"], 0)
    sizes = np.sqrt(np.square(share[:, :, None] * hidden).mean(axis=0))
    wanted = np.abs(w["G"]).mean(axis=1) * sizes
    found = next(v for v in scores(inputs_of(model), "moe-wanda", "neurons") if v.shape[-1] == 10)
    np.testing.assert_allclose(found, wanted if found.ndim == 2 else wanted.sum(axis=0), rtol=1e-3)


def test_experts_that_never_come_together_are_refused_with_a_way_out() -> None:
    text = """net (float[batch, 6] x) => (float[N, V] y, float[N, V] z)
        <float[6, 4] R, float[4, 6, 3] E, float[4, 3, 5] F, float[4, 3, 5] G>
        { s = MatMul(x, R)  p = Softmax(s)  a = Einsum <equation = "ti,eif->tef"> (x, E)  h = Relu(a)
          u = Einsum <equation = "tef,efd->ted"> (h, F)  y = Einsum <equation = "ted,te->td"> (u, p)
          v = Einsum <equation = "tef,efd->ted"> (h, G)  z = Einsum <equation = "ted,te->td"> (v, p) }"""
    inputs = inputs_of(build(text))
    with pytest.raises(UsageError, match=r"cannot be told apart in this model: .*--criterion l2-group"):
        scores(inputs, "reap")
    (found,) = scores(inputs, "router-similarity")
    assert found.shape == (4,)
