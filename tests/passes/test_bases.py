"""Changes of basis: the same function in other weights, with what matters in few directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.compensate import basis as checked
from graphprune.compensate.trial import Trials
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import ScoringProblem, find_pass
from graphprune.testing import analysed
from graphprune_passes.bases import values
from tests.hard_cases.test_handmade import HANDMADE
from tests.passes.nets import net, samples

Floats = NDArray[np.float64]
TURNED = {
    "gqa_attention": "W_12",  # values that two heads share
    "fused_qkv_split": "W_3",  # a part of a projection
    "rotary": "W_11",
    "rotary_reshaped": "W_26",
    "runtime_attention_scale": "W_9",
}


def inputs_of(model: onnx.ModelProto, x: NDArray[np.float32]) -> Inputs:
    normal, analysis = analysed(model)
    return prepare_inputs(normal, analysis, Wanted({"x": x}), 0)


def draw(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", TURNED)
def test_the_function_stays_the_same(name: str) -> None:
    inputs = inputs_of(HANDMADE[name](), draw(32, 6, 6))
    weights, note = checked.in_basis(inputs.statistics, "values", 0)
    assert TURNED[name] in weights
    assert not note
    other = {"x": draw(40, 6, 6)[32:]}
    trials = Trials(inputs.model, inputs.analysis, [other])
    assert checked.largest_change(trials.before, trials.after(weights)) < 2e-6
    (key,) = (m for m in weights if m == TURNED[name])
    assert np.abs(weights[key] - inputs.analysis.facts.weights[key].numpy()).max() > 0.01


@pytest.mark.parametrize("name", ["fused_qkv", "linear_attention", "gated_mlp"])
def test_what_is_not_only_mixed_is_left_alone(name: str) -> None:
    """Queries and values of one width; exponentials of values; no attention at all."""
    inputs = inputs_of(HANDMADE[name](), draw(32, 6, 6))
    weights, note = checked.in_basis(inputs.statistics, "values", 0)
    assert not weights
    assert "nothing was found that a change of basis (values) can be made of" in note


def test_a_gate_on_the_way_to_the_reader_keeps_values_where_they_are() -> None:
    model = net("attention")
    place = next(k for k, n in enumerate(model.graph.node) if n.output[0] == "m1")
    model.graph.node.insert(place + 1, onnx.helper.make_node("Sigmoid", ["m1"], ["m2"]))
    next(n for n in model.graph.node if n.output[0] == "m").input[0] = "m2"
    inputs = inputs_of(model, samples("attention"))
    assert not checked.in_basis(inputs.statistics, "values", 0)[0]


def test_a_basis_that_changes_the_function_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    right = values.basis
    monkeypatch.setattr(values, "basis", lambda s, r: (right(s, r)[0], 1.01 * right(s, r)[1]))
    inputs = inputs_of(net("attention"), samples("attention"))
    weights, note = checked.in_basis(inputs.statistics, "values", 0)
    assert not weights
    assert "moves the outputs by" in note


def test_few_directions_are_the_best_approximation_of_their_rank() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(500, 6)) @ random.normal(size=(6, 6)) + 1
    reader = random.normal(size=(9, 6))
    second = rows.T @ rows / len(rows)
    forth, back = values.basis(second, reader)
    np.testing.assert_allclose(forth @ back, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(forth.T @ second @ forth, np.eye(6), atol=1e-8)
    sizes = np.linalg.norm(reader @ back.T, axis=0)
    assert (np.diff(sizes) <= 0).all()
    whole = rows @ reader.T
    best = np.linalg.svd(whole, compute_uv=False)
    for rank in range(1, 6):
        few = (rows @ forth[:, :rank]) @ (reader @ back.T)[:, :rank].T
        np.testing.assert_allclose(np.square(whole - few).sum(), np.square(best[rank:]).sum(), rtol=1e-6)


def test_channels_of_heads_count_by_norms_and_neurons_by_leverage() -> None:
    inputs = inputs_of(net("attention"), samples("attention"))
    groups = tuple(inputs.analysis.by_key[k] for k in ("wq[1].2", "up[1]"))
    problem = ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    found, squared, leverage = (
        find_pass("criterion", n).run(problem) for n in ("modules", "query-key", "leverage")
    )
    width, neurons = (g.atom for g in groups)
    np.testing.assert_allclose(found[width][0].values, np.sqrt(squared[width][0].values), rtol=1e-9)
    np.testing.assert_array_equal(found[neurons][0].values, leverage[neurons][0].values)


def error(model: onnx.ModelProto, **options: Any) -> float:
    given = {"structures": ("head-dim",), "calib": {"x": samples("attention")}, "benchmark": False, **options}
    result = graphprune.prune(model, 0.5, **given)
    assert result.report["equivalence"]["status"] == "equal"
    return float(result.report["fidelity"][0]["relative_error"])


def test_directions_keep_more_than_channels_as_they_are() -> None:
    """Half of the width of every head goes: with and without values in a basis of their own."""
    model = net("attention")
    random = np.random.default_rng(4)
    for tensor in model.graph.initializer:  # what values say is in directions that are no channels
        if tensor.name == "wv":
            heads = onnx.numpy_helper.to_array(tensor).reshape(12, 4, 6)
            mixed = np.einsum("ihd,de->ihe", heads, np.linalg.qr(random.normal(size=(6, 6)))[0])
            mixed = mixed.reshape(12, 24).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, "wv"))
    plain = error(model, criterion="modules", reducer="consumers", only=["wv"])
    assert error(model, recipe="uniql", only=["wv"]) < 0.8 * plain


@pytest.mark.parametrize("recipe", ["uniql", "modegpt"])
def test_a_plan_repeats_the_basis(recipe: str, tmp_path: Path) -> None:
    calib = tmp_path / "x.npz"
    np.savez(calib, x=samples("attention"))
    model = net("attention")
    result = graphprune.prune(model, 0.5, recipe=recipe, calib=str(calib), benchmark=False)
    assert result.plan.repair["basis"] == "values"
    again = graphprune.apply(result.plan, model, benchmark=False)
    assert again.model.SerializeToString() == result.model.SerializeToString()
    bare = graphprune.apply(result.plan, model, benchmark=False, repair=False)
    told = "change of basis values, which was not made here"
    assert [any(told in w for w in r.report["warnings"]) for r in (again, bare)] == [False, True]
