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
from graphprune.analysis import Analysis
from graphprune.errors import UsageError
from graphprune.passes import AllocationProblem, ScoringProblem, all_passes, find_pass

PLUGINS = Path(__file__).parent / "plugin"
CRITERIA = sorted(name for kind, name in all_passes() if kind == "criterion")
ALLOCATIONS = sorted(name for kind, name in all_passes() if kind == "allocation")


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
        importlib.invalidate_caches()

    yield on_path
    monkeypatch.undo()
    all_passes.cache_clear()


def test_a_plugin_is_found(offer: Callable[[str], None], small: onnx.ModelProto) -> None:
    offer("extra")
    assert find_pass("criterion", "first-slots").summary == "the first slots matter most"
    plan = graphprune.prune(small, ratio=0.5, criterion="first-slots").plan
    assert plan.groups["first_weight[1]"].kept == [0, 1, 2, 3, 4, 5]


def test_a_plugin_on_the_command_line(offer: Callable[[str], None], cli: Any, small_path: Path) -> None:
    offer("extra")
    assert cli(small_path, "--criterion", "first-slots", "--quiet", "--no-benchmark").code == 0
    done = cli(small_path, "--criterion", "last-slots", "--quiet")
    assert done.code == 2
    assert "choose from first-slots, l1, l2-group, random" in done.err


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
def analysis() -> Analysis:
    """Channels, heads and neurons of two bundled models' kinds: here a transformer's."""
    return graphprune.analyse(Path(__file__).resolve().parent.parent / "models" / "vit.onnx")


def problem(analysis: Analysis, seed: int = 0) -> ScoringProblem:
    """Score every group that is not frozen."""
    return ScoringProblem(analysis, tuple(g for g in analysis.groups if not g.frozen and g.size > 1), seed)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_scores_every_slot(name: str, analysis: Analysis) -> None:
    asked = problem(analysis)
    scores = find_pass("criterion", name).run(asked)
    for group in asked.groups:
        assert scores[group.atom].shape == asked.shape_of(group)
        assert np.isfinite(scores[group.atom]).all()
        assert (scores[group.atom] >= 0).all()
        assert np.ptp(scores[group.atom]) > 0, "slots are told apart"
    again = find_pass("criterion", name).run(problem(analysis))
    assert all(np.array_equal(scores[a], again[a]) for a in scores)


@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_an_allocation_respects_floors(name: str, share: float, analysis: Analysis) -> None:
    asked = problem(analysis)
    floors = {g.atom: max(1, g.size // 10) for g in asked.groups}
    scores = find_pass("criterion", "l2-group").run(asked)
    kept = find_pass("allocation", name).run(AllocationProblem(asked.groups, scores, floors), share)
    assert kept.keys() == {g.atom for g in asked.groups}
    for group in asked.groups:
        assert floors[group.atom] <= kept[group.atom] <= group.size
        if share == 0:
            assert kept[group.atom] == group.size
        if share == 1:
            assert kept[group.atom] == floors[group.atom]


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_an_allocation_removes_more_as_the_share_grows(name: str, analysis: Analysis) -> None:
    asked = problem(analysis)
    scores = find_pass("criterion", "l2-group").run(asked)
    setting = AllocationProblem(asked.groups, scores, {g.atom: 1 for g in asked.groups})
    allocate = find_pass("allocation", name).run
    counts = [allocate(setting, share) for share in np.linspace(0, 1, 11)]
    for more, fewer in itertools.pairwise(counts):
        assert all(more[a] >= fewer[a] for a in more)


def test_uniform_keeps_what_the_ratio_says(analysis: Analysis) -> None:
    asked = problem(analysis)
    setting = AllocationProblem(asked.groups, {}, {g.atom: 1 for g in asked.groups})
    kept = find_pass("allocation", "uniform").run(setting, 0.25)
    assert all(kept[g.atom] == g.size - g.size // 4 for g in asked.groups)


def test_global_removes_exactly_the_share(analysis: Analysis) -> None:
    asked = problem(analysis)
    ties = {g.atom: np.ones(asked.shape_of(g)) for g in asked.groups}
    setting = AllocationProblem(asked.groups, ties, {g.atom: 1 for g in asked.groups})
    kept = find_pass("allocation", "global").run(setting, 0.25)
    total = sum(g.size for g in asked.groups)
    assert total - sum(kept.values()) == int(total * 0.25)
