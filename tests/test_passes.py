"""Passes are found through entry points, the shipped ones and anybody else's; a clash names both sides."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.analysis import CostModel
from graphprune.decide.parts import Parts
from graphprune.errors import UsageError
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import (
    AllocationProblem,
    MemberScore,
    Pass,
    ScoringProblem,
    all_passes,
    all_recipes,
    find_pass,
    find_recipe,
)
from graphprune.testing import analysed

PLUGINS = Path(__file__).parent / "plugin"


def names(kind: str) -> list[str]:
    """Names of all installed passes of a kind."""
    return sorted(name for of, name in all_passes() if of == kind)


CRITERIA, ALLOCATIONS = names("criterion"), names("allocation")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`installed(name)`: a folder into which pip has installed a package of tests/plugin."""
    found: dict[str, Path] = {}

    def install(name: str) -> Path:
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name)
            options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--no-compile"]
            where = ["--target", str(found[name]), str(PLUGINS / name)]
            pip = [sys.executable, "-m", "pip", "install", *options, *where]
            subprocess.run(pip, check=True, capture_output=True)
        return found[name]

    return install


@pytest.fixture
def offer(
    installed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """`offer(name)`: make a package of tests/plugin importable for this test."""

    def on_path(name: str) -> None:
        monkeypatch.syspath_prepend(str(installed(name)))
        all_passes.cache_clear()
        all_recipes.cache_clear()
        importlib.invalidate_caches()

    yield on_path
    monkeypatch.undo()
    all_passes.cache_clear()
    all_recipes.cache_clear()


def test_a_plugin_is_found(offer: Callable[[str], None], small: onnx.ModelProto) -> None:
    offer("extra")
    assert find_pass("criterion", "first-slots").summary == "the first slots matter most"
    plan = graphprune.prune(small, ratio=0.5, criterion="first-slots").plan
    assert plan.groups["first_weight[1]"].kept == [0, 1, 2, 3, 4, 5]


def test_a_plugin_offers_recipes_too(offer: Callable[[str], None], small: onnx.ModelProto) -> None:
    offer("extra")
    assert find_recipe("firsts").needs == "weights"
    plan = graphprune.prune(small, ratio=0.5, recipe="firsts").plan
    assert plan.groups["second_weight[1]"].kept == [0, 1, 2, 3, 4]


def test_a_plugin_on_the_command_line(offer: Callable[[str], None], cli: Any, small_path: Path) -> None:
    offer("extra")
    assert cli(small_path, "--criterion", "first-slots", "--quiet", "--no-benchmark").code == 0
    done = cli(small_path, "--criterion", "last-slots", "--quiet")
    assert done.code == 2
    assert f"choose from {', '.join(sorted(['first-slots', *CRITERIA]))}" in " ".join(done.err.split())


def test_a_clash_names_both(offer: Callable[[str], None], cli: Any, small_path: Path) -> None:
    offer("clashing")
    with pytest.raises(UsageError, match="criterion 'l1' is offered by both") as caught:
        all_passes()
    assert "graphprune_clashing:PASSES" in str(caught.value)
    assert "graphprune_passes:PASSES" in str(caught.value)
    assert cli(small_path, "--quiet").code == 2


def test_shipped_passes_come_through_the_same_door() -> None:
    assert {"l1", "l2-group", "random"} <= set(CRITERIA)
    assert {"uniform", "global"} <= set(ALLOCATIONS)
    assert all(p.summary for p in all_passes().values())


# -- what every pass promises -------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Channels, heads and neurons of two bundled models' kinds: here a transformer's, with made-up inputs."""
    path = Path(__file__).resolve().parent.parent / "models" / "vit.onnx"
    model, analysis = analysed(str(path))
    return prepare_inputs(model, analysis, Wanted(None, 16), 0)


def problem(inputs: Inputs, seed: int = 0) -> ScoringProblem:
    """Score every group that is not frozen."""
    groups = tuple(g for g in inputs.analysis.groups if not g.frozen and g.size > 1)
    return ScoringProblem(inputs.analysis, groups, seed, inputs.statistics)


def allocation_problem(inputs: Inputs, scores: Any = None, floor: float = 0.0) -> AllocationProblem:
    """Cut every group that is not frozen; scores are squared weights."""
    asked = problem(inputs)
    if scores is None:
        scores = Parts("", "l2-group", "mean", "mean", "uniform", "none").scores(asked)
    floors = {g.atom: max(1, int(g.size * floor)) for g in asked.groups}
    return AllocationProblem(
        asked.groups, scores, floors, CostModel(inputs.analysis), "both", dict.fromkeys(floors, 1), asked
    )


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_scores_every_slot(name: str, inputs: Inputs) -> None:
    asked = problem(inputs)
    found = find_pass("criterion", name).run(asked)
    for group in asked.groups:
        given = found[group.atom]
        assert isinstance(given, np.ndarray) == find_pass("criterion", name).reduced
        if not isinstance(given, np.ndarray):
            assert given, "at least one member"
            assert all(isinstance(m, MemberScore) for m in given)
            assert {m.role for m in given} <= {"producer", "parameter", "consumer"}
        for scores in flat(given):
            assert scores.shape == asked.shape_of(group)
            assert np.isfinite(scores).all()
            assert (scores >= 0).all()
        assert np.ptp(sum(flat(given))) > 0, "slots are told apart"
    again = find_pass("criterion", name).run(problem(inputs))
    for atom, given in found.items():
        assert all(np.array_equal(a, b) for a, b in zip(flat(given), flat(again[atom]), strict=True))


def flat(given: Any) -> list[Any]:
    """Scores, or those of each member."""
    return [given] if isinstance(given, np.ndarray) else [m.values for m in given]


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_says_what_it_needs(name: str, inputs: Inputs) -> None:
    asked = problem(inputs)
    blind = ScoringProblem(asked.analysis, asked.groups[:2], 0)
    offered: Pass = find_pass("criterion", name)
    if offered.needs == "inputs":
        with pytest.raises(UsageError, match="needs activations"):
            offered.run(blind)
    else:
        assert offered.run(blind).keys() == {g.atom for g in blind.groups}


@pytest.mark.parametrize("name", names("reducer"))
def test_a_reducer_makes_one_score_of_many(name: str) -> None:
    draw = np.random.default_rng(1)
    roles = ("producer", "parameter", "consumer", "consumer")
    members = [MemberScore(draw.random((3, 5)), r) for r in roles]  # type: ignore[arg-type]
    reduce = find_pass("reducer", name).run
    for given in (members, members[:1], members[1:2], [MemberScore(np.zeros((3, 5)), "consumer")]):
        assert reduce(given).shape == (3, 5)
        assert np.isfinite(reduce(given)).all()
    better = [MemberScore(m.values + np.eye(3, 5), m.role) for m in members]
    higher = reduce(better) - reduce(members)
    assert (np.diag(higher) >= 0).all(), "what scores higher everywhere is not worse"


@pytest.mark.parametrize("name", names("normaliser"))
def test_a_normaliser_keeps_the_order(name: str, inputs: Inputs) -> None:
    asked = problem(inputs)
    asked = ScoringProblem(asked.analysis, asked.groups[:4], 0, asked.observed)
    raw = Parts("", "l2-group", "sum", "none", "uniform", "none").scores(asked)
    raw = {g.atom: raw[g.atom] for g in asked.groups}
    found = find_pass("normaliser", name).run(asked, raw)
    for group in asked.groups:
        assert found[group.atom].shape == asked.shape_of(group)
        assert np.isfinite(found[group.atom]).all()
        order = np.argsort(raw[group.atom], axis=-1, kind="stable")
        assert (np.diff(np.take_along_axis(found[group.atom], order, axis=-1), axis=-1) >= 0).all()


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_an_allocation_respects_floors(name: str, inputs: Inputs) -> None:
    setting = allocation_problem(inputs, floor=0.1)
    for share in (0.0, 0.3, 0.7, 1.0):
        kept = find_pass("allocation", name).run(setting, share)
        assert kept.keys() == {g.atom for g in setting.groups}
        for group in setting.groups:
            assert setting.floors[group.atom] <= kept[group.atom] <= group.size
            if share == 0:
                assert kept[group.atom] == group.size
            if share == 1:
                assert kept[group.atom] == setting.floors[group.atom]


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_an_allocation_removes_more_as_the_share_grows(name: str, inputs: Inputs) -> None:
    setting = allocation_problem(inputs)
    allocate = find_pass("allocation", name).run
    counts = [allocate(setting, share) for share in np.linspace(0, 1, 41)]
    for more, fewer in itertools.pairwise(counts):
        assert all(more[a] >= fewer[a] for a in more)


def test_uniform_keeps_what_the_ratio_says(inputs: Inputs) -> None:
    setting = allocation_problem(inputs, {})
    kept = find_pass("allocation", "uniform").run(setting, 0.25)
    assert all(kept[g.atom] == g.size - g.size // 4 for g in setting.groups)


@pytest.mark.parametrize("name", ["global", "global-type", "global-isomorphic"])
def test_global_removes_exactly_the_share(name: str, inputs: Inputs) -> None:
    asked = problem(inputs)
    ties = {g.atom: np.ones(asked.shape_of(g)) for g in asked.groups}
    setting = allocation_problem(inputs, ties)
    kept = find_pass("allocation", name).run(setting, 0.25)
    total = sum(g.size for g in asked.groups)
    gone = total - sum(kept.values())
    if name == "global":
        assert gone == int(total * 0.25)
    else:  # each pool is rounded by itself
        assert 0 <= total * 0.25 - gone < len(asked.groups)
