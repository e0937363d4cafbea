"""Every recipe meets a target on a small net, verified against the masked original, or says why not."""

from __future__ import annotations

import re
import sys

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.analysis import CostModel
from graphprune.calibrate import KINDS
from graphprune.decide.candidates import STRUCTURES
from graphprune.errors import ModelError, TargetError
from graphprune.passes import ONLY, all_recipes, find_pass, find_recipe
from graphprune.testing import analysed
from tests.passes.nets import TEXTS, net, samples

_NETS = {"channels": "cnn", "experts": "mixture"} | dict.fromkeys(
    ("heads", "head-dim", "layers"), "attention"
)
RECIPES = sorted(name for _, name in all_recipes())


def kind_of(name: str) -> str:
    """A net in which a recipe finds something to cut."""
    return _NETS.get((find_recipe(name).structures or ("",))[0], "mlp")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_it_says(name: str) -> None:
    recipe = find_recipe(name)
    for kind, part in recipe.parts:
        find_pass(kind, part)
    assert recipe.paper
    assert recipe.summary
    assert set(recipe.structures or ()) <= set(STRUCTURES)
    assert recipe.noise.removeprefix(ONLY) in KINDS


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_differs_from_its_paper_is_marked(name: str) -> None:
    """By its own summary, or by what its parts say of themselves."""
    recipe = find_recipe(name)
    if not recipe.follows or recipe.paper.startswith(("ours", "the baseline")):
        return
    told = re.findall(r"\bno\b|without|in place of|one shot|there of|our own|not here", recipe.summary)
    assert not told
    runs = [find_pass(kind, part).run for kind, part in recipe.asked]
    assert not [r for r in runs if "Adapted" in (sys.modules[r.__module__].__doc__ or "")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_meets_a_target(name: str) -> None:
    met, refused = 0, []
    for kind in TEXTS:
        try:
            result = graphprune.prune(net(kind), target="macs=0.6", recipe=name, calib={"x": samples(kind)})
        except (ModelError, TargetError) as error:
            refused.append(str(error))
            continue
        met += 1
        report = result.report
        assert report["equivalence"]["status"] == "equal"
        assert report["after"]["macs"] <= 0.6 * report["before"]["macs"]
        onnx.checker.check_model(result.model)
    assert met
    assert all("nothing to prune" in r or "cannot be reached" in r for r in refused)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_cuts_no_slot_more_than_its_target_asks_for(name: str) -> None:
    kind = kind_of(name)
    _, analysis = analysed(net(kind))
    costs = CostModel(analysis)
    given = {"calib": {"x": samples(kind)}, "compensation": "none", "verify": False}
    result = graphprune.prune(net(kind), target="macs=0.6", recipe=name, **given)  # type: ignore[arg-type]
    counts = {g.atom: g.size for g in analysis.groups}
    for key, planned in result.plan.groups.items():
        counts[analysis.by_key[key].atom] = np.shape(planned.kept)[-1]
    limit = 0.6 * costs.whole.macs
    assert costs.cost(counts).macs <= limit
    for key in result.plan.groups:
        atom = analysis.by_key[key].atom
        assert costs.cost({**counts, atom: counts[atom] + 1}).macs > limit, key


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_the_same_again(name: str) -> None:
    kind = kind_of(name)
    given = {"target": "params=0.6", "recipe": name, "calib": {"x": samples(kind)}, "verify": False}
    first, again = (graphprune.prune(net(kind), **given) for _ in range(2))  # type: ignore[arg-type]
    assert first.plan.groups == again.plan.groups
    for a, b in zip(first.model.graph.initializer, again.model.graph.initializer, strict=True):
        assert np.array_equal(onnx.numpy_helper.to_array(a), onnx.numpy_helper.to_array(b))


def test_the_recipes_every_list_names() -> None:
    assert {"auto", "plain", "random", "l1", "depgraph", "flap", "obspa-id", "obspa-free"} <= set(RECIPES)


def test_a_recipe_that_cuts_nothing_here_says_how_to_make_it() -> None:
    given = {"target": "macs=0.6", "recipe": "maw", "only": ["k*"]}
    with pytest.raises(ModelError, match=r"not asked for [(]by recipe maw; --structures overrides"):
        graphprune.prune(net("cnn"), **given)  # type: ignore[arg-type]
    result = graphprune.prune(net("cnn"), structures=("channels",), **given)  # type: ignore[arg-type]
    assert result.report["equivalence"]["status"] == "equal"
