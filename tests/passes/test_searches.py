"""Searches that go on once the budget is met: swaps of slots, and of widths."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.analysis import CostModel
from graphprune.compensate.solve import refit
from graphprune.dims import Keeps
from graphprune.inputs import Inputs, Wanted, prepare_inputs
from graphprune.passes import AllocationProblem, ScoringProblem, Settling
from graphprune.testing import analysed
from graphprune_passes.allocations import evolve, spdy, swap
from graphprune_passes.allocations.fitness import Fitness
from graphprune_passes.criteria.units import Reader
from tests.passes.nets import net, samples
from tests.passes.test_acceptance import Exact

Floats = NDArray[np.float64]


def reader(columns: int, of_each: int = 1, seed: int = 0) -> Reader:
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(200, columns)) @ draw.normal(size=(columns, columns))
    return Reader(draw.normal(size=(5, columns)), Exact(rows), np.arange(columns) // of_each)


def lost(block: Reader, kept: NDArray[np.bool_]) -> float:
    """What a reader loses when it is refitted to the units that stay: least squares, written out."""
    second = block.moments.second
    second = second + swap.DAMPING * np.trace(second) / len(second) * np.eye(len(second))
    here = kept.reshape(-1)[block.units]
    new = np.zeros_like(block.weight)
    new[:, here] = refit(second[np.ix_(here, here)], block.weight @ second[:, here], new[:, here], 0.0)
    gone = block.weight - new
    return float(np.sum((gone @ second) * gone) / np.sum((block.weight @ second) * block.weight))


@pytest.mark.parametrize("of_each", [1, 2])
def test_losses_costs_and_gains_of_swaps_are_those_of_least_squares(of_each: int) -> None:
    block = reader(12, of_each)
    count = 12 // of_each
    kept = (np.arange(count) % 3 > 0).reshape(1, -1)
    loss, costs, gains = swap._Group([block], count).look(kept)
    assert loss == pytest.approx(lost(block, kept), rel=1e-6)
    for unit in range(count):
        other = kept.copy()
        other[0, unit] ^= True
        change = lost(block, other) - loss
        assert (costs[unit] if kept[0, unit] else -gains[unit]) == pytest.approx(change, rel=1e-5)


def test_swaps_lower_the_loss_and_keep_the_number() -> None:
    better = 0
    for seed in range(10):
        blocks = [reader(10, seed=seed), reader(10, seed=100 + seed)]
        start = np.zeros((1, 10), bool)
        start[0, np.random.default_rng(seed).choice(10, 5, replace=False)] = True
        found = swap.improved(blocks, start)
        assert found.sum() == 5
        before, after = (sum(lost(b, k) for b in blocks) for k in (start, found))
        assert after <= before
        better += after < before
        sets = [np.isin(np.arange(10), c).reshape(1, -1) for c in itertools.combinations(range(10), 5)]
        assert after <= np.quantile([sum(lost(b, s) for b in blocks) for s in sets], 0.2)
    assert better >= 8


def test_swaps_stay_within_the_slots_of_an_outer_one() -> None:
    start = np.array([[True, True, False, False, False], [False, False, True, True, False]])
    found = swap.improved([reader(10, seed=3)], start)
    assert found.sum(axis=1).tolist() == [2, 2]


# -- evolution ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlp() -> Inputs:
    model, analysis = analysed(net("mlp"))
    return prepare_inputs(model, analysis, Wanted({"x": samples("mlp", 320)}), 0)


def settling(inputs: Inputs, fixed: frozenset[int] = frozenset()) -> Settling:
    """Half of the slots of both hidden layers go, and the parameters may not be more than that leaves."""
    groups = tuple(g for g in inputs.analysis.groups if not g.frozen)
    scoring = ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    scores = {g.atom: np.arange(g.size, dtype=float) for g in groups}
    costs = CostModel(inputs.analysis)
    floors = {g.atom: 2 for g in groups}
    problem = AllocationProblem(groups, scores, floors, costs, "params", dict.fromkeys(floors, 1), scoring)
    counts = {g.atom: g.size // 2 for g in groups}
    limit = costs.cost(counts).params
    return Settling(problem, counts, lambda c: costs.cost(c).params <= limit, fixed)


def counts_of(asked: Settling, keeps: Keeps) -> dict[int, int]:
    return {g.atom: keeps[g.atom].count if g.atom in keeps else g.size for g in asked.problem.groups}


def test_evolved_widths_keep_the_budget_and_lose_less(mlp: Inputs) -> None:
    asked = settling(mlp)
    found = counts_of(asked, evolve.settle(asked))
    assert asked.allowed(found)
    trials = Fitness(asked)
    assert trials.loss(found) < trials.loss(asked.counts)
    assert counts_of(asked, evolve.settle(asked)) == found, "the same again"


def test_what_the_user_has_said_is_not_moved(mlp: Inputs) -> None:
    asked = settling(mlp)
    first = asked.problem.groups[0].atom
    asked = settling(mlp, frozenset({first}))
    assert counts_of(asked, evolve.settle(asked))[first] == asked.counts[first]


def test_offspring_are_other_widths_within_the_budget(mlp: Inputs) -> None:
    asked = settling(mlp)
    draw = np.random.default_rng(1)
    children = evolve.offspring(asked, dict(asked.counts), 4, draw)
    assert len(children) > 1
    for child in children:
        assert child != asked.counts
        assert asked.allowed(child)
        for group in asked.problem.groups:
            assert 2 <= child[group.atom] <= group.size


def test_trials_measure_what_the_masked_and_refitted_network_loses(mlp: Inputs) -> None:
    """Levels from the store give what refitting everything at once gives."""
    asked = settling(mlp)
    trials = Fitness(asked)
    one = trials.loss(asked.counts)
    wider = {a: n + 3 for a, n in asked.counts.items()}
    assert trials.loss(wider) < one
    fresh = Fitness(asked)
    assert fresh.loss(wider) == trials.loss(wider)
    whole = {g.atom: g.size for g in asked.problem.groups}
    assert trials.loss(whole) == pytest.approx(0, abs=1e-10)


def test_coefficients_are_searched_for_that_lose_less_at_the_budget(mlp: Inputs) -> None:
    asked = settling(mlp)
    one, other = (g.atom for g in asked.problem.groups)
    asked = replace(asked, counts={one: 16, other: 2})  # to begin with, the second layer is all but gone
    assert asked.allowed(asked.counts)
    found = counts_of(asked, spdy.settle(asked))
    assert asked.allowed(found)
    assert Fitness(asked).loss(found) < 0.8 * Fitness(asked).loss(asked.counts)
    assert counts_of(asked, spdy.settle(asked)) == found, "the same again"
    fixed = settling(mlp, frozenset({one}))
    assert counts_of(fixed, spdy.settle(fixed))[one] == fixed.counts[one]


def test_a_group_of_small_coefficient_loses_more(mlp: Inputs) -> None:
    asked = settling(mlp)
    search = spdy.Search(asked)
    one, other = (g.atom for g in asked.problem.groups)
    cheap, dear = search.widths(np.array([0.01, 1.0])), search.widths(np.array([1.0, 0.01]))
    assert cheap[one] < dear[one]
    assert cheap[other] > dear[other]
    assert asked.allowed(cheap)
    assert asked.allowed(dear)


@pytest.mark.parametrize("recipe", ["tyr", "darwinlm", "ziplm"])
def test_an_evolved_result_meets_its_target(recipe: str) -> None:
    given = {"target": "macs=0.5", "recipe": recipe, "calib": {"x": samples("gated")}, "benchmark": False}
    report = graphprune.prune(net("gated"), **given).report  # type: ignore[arg-type]
    assert report["equivalence"]["status"] == "equal"
    assert report["after"]["macs"] <= 0.5 * report["before"]["macs"]
