"""Every recipe gives a model back as it was where nothing is cut, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.passes import all_recipes, find_recipe
from tests.passes.nets import net, samples

KINDS = {"channels": "cnn", "experts": "mixture"} | dict.fromkeys(
    ("heads", "head-dim", "layers"), "attention"
)
OTHERS = {"uniql": "attention", "modegpt": "attention"}  # these change the basis of attention first


def kind_of(recipe: str) -> str:
    """A net in which the recipe finds something to cut."""
    return OTHERS.get(recipe) or KINDS.get((find_recipe(recipe).structures or ("",))[0], "mlp")


def pruned(kind: str, recipe: str, **options: Any) -> Any:
    return graphprune.prune(net(kind), recipe=recipe, calib={"x": samples(kind, 32)}, **options)


def content(node: onnx.NodeProto) -> Any:
    """All of a node but its name, which a node without one is given."""
    return node.op_type, [*node.input], [*node.output], [a.SerializeToString() for a in node.attribute]


def assert_same(found: onnx.ModelProto, original: onnx.ModelProto) -> None:
    assert [*map(content, found.graph.node)] == [*map(content, original.graph.node)]
    weights = {t.name: t for t in found.graph.initializer}
    assert weights.keys() == {t.name for t in original.graph.initializer}
    for tensor in original.graph.initializer:
        one, other = (onnx.numpy_helper.to_array(t) for t in (tensor, weights[tensor.name]))
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes(), tensor.name


@pytest.mark.parametrize("options", [{"ratio": 0}, {"target": "macs=100%,params=100%"}], ids=str)
@pytest.mark.parametrize("recipe", sorted(name for _, name in all_recipes()))
def test_a_recipe_that_cuts_nothing_changes_nothing(recipe: str, options: dict[str, Any]) -> None:
    kind = kind_of(recipe)
    result = pruned(kind, recipe, verify=False, **options)
    assert_same(result.model, net(kind))
    assert not result.plan.groups
    for count in ("params", "macs"):
        assert result.report["after"][count] == result.report["before"][count]


@pytest.mark.parametrize("recipe", ["uniql", "modegpt"])
def test_these_do_change_the_basis_where_they_cut(recipe: str) -> None:
    """So that the test above says something of them."""
    result = pruned("attention", recipe, ratio=0.5, compensation="none")
    whole = {t.name: onnx.numpy_helper.to_array(t) for t in net("attention").graph.initializer}
    found = {t.name: onnx.numpy_helper.to_array(t) for t in result.model.graph.initializer}
    rows = {tuple(r) for r in whole["wv"].T}
    assert not {tuple(r) for r in found["wv"].T} <= rows


@pytest.mark.parametrize("recipe", ["auto", "uniql"])
def test_it_is_proved_and_repeated_like_any_other(recipe: str) -> None:
    result = pruned("attention", recipe, ratio=0)
    assert result.report["equivalence"]["status"] == "equal"
    assert all(f["relative_error"] == 0 for f in result.report["fidelity"])
    again = graphprune.apply(result.plan, net("attention"), calib={"x": samples("attention", 32)})
    assert_same(again.model, net("attention"))


def test_a_plan_that_keeps_every_slot_repairs_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=samples("gated", 32))
    plan = graphprune.prune(net("gated"), 0.5, calib=tmp_path / "inputs.npz", recipe="auto").plan
    assert plan.repair
    assert plan.groups
    every = {k: replace(g, kept=list(range(g.size))) for k, g in plan.groups.items()}
    again = graphprune.apply(replace(plan, groups=every), net("gated"))
    assert_same(again.model, net("gated"))
    assert again.report["after"]["params"] == again.report["before"]["params"]


def test_only_what_has_a_ratio_of_its_own_is_cut_at_ratio_zero() -> None:
    result = graphprune.prune(net("mlp"), 0, recipe="plain", ratios={"w1[0]": 0.5})
    assert [*result.plan.groups] == ["w1[0]"]
    assert {t.name: t.dims[0] for t in result.model.graph.initializer}["w1"] == 10


def test_nothing_is_said_of_rounding_where_nothing_was_to_go() -> None:
    said = graphprune.prune(net("mlp"), 0, recipe="plain", round_to=8).report["warnings"]
    assert not any("--round-to" in w for w in said)
