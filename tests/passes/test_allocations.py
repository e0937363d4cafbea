"""Allocations against the formulas of their papers."""

from __future__ import annotations

import itertools
import weakref

import numpy as np

from graphprune.analysis import CostModel
from graphprune.inputs import Wanted, prepare_inputs
from graphprune.passes import AllocationProblem, ScoringProblem
from graphprune.testing import analysed
from graphprune_passes.allocations import blocks, dp_levels, erk, layerwise, waterfill
from graphprune_passes.allocations.last import Last
from tests.passes.nets import net, samples, weights


def test_erk_keeps_small_layers_dense() -> None:
    shapes = ((64, 3, 3, 3), (128, 64, 3, 3), (10, 128))
    found = erk.densities(shapes, 0.3)
    sizes = np.array([np.prod(s) for s in shapes], float)
    assert abs((found * sizes).sum() / sizes.sum() - 0.3) < 1e-9
    raw = np.array([sum(s) / np.prod(s) for s in shapes])
    free = found < 1
    assert np.ptp((found / raw)[free]) < 1e-9, "in proportion to the sum over the product of the sizes"
    assert (found[~free] == 1).all()


def test_water_fills_up_to_what_a_layer_needs() -> None:
    costs = np.array([1.0, 4.0, 10.0, 40.0])
    found = waterfill.densities(costs, 0.4)
    assert abs((found * costs).sum() - 0.4 * costs.sum()) < 1e-9
    assert (found[:2] == 1).all()
    assert abs(found[2] * costs[2] - found[3] * costs[3]) < 1e-9 or found[2] == 1


def test_cfsp_sigmoid_has_the_mean_that_is_asked_for() -> None:
    importance = np.array([0.1, 0.2, 0.25, 0.4])
    for share in (0.2, 0.5, 0.8):
        keeps = layerwise.sigmoid_keeps(importance, share)
        assert abs(keeps.mean() - (1 - share)) < 1e-9
        assert (np.diff(keeps) >= 0).all()
        assert keeps.max() <= 1


def test_pq_index_of_equal_scores_asks_for_all_and_of_one_for_one() -> None:
    assert layerwise.kept_bound(np.ones(16)) == 1
    assert abs(layerwise.kept_bound(np.eye(16)[0]) - 1 / 16) < 1e-12


def test_dynamic_programming_finds_the_best_levels() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        groups = [
            dp_levels.Levels(
                np.arange(5),
                np.concatenate([[0.0], np.cumsum(draw.random(4))]),
                np.concatenate([[0], np.cumsum(draw.integers(1, 9, 4))]) / 100,
            )
            for _ in range(4)
        ]
        wanted = 0.5 * sum(g.saved[-1] for g in groups)
        chosen = dp_levels.solve(groups, wanted, np.zeros(4, np.int64))

        def loss(levels: tuple[int, ...], groups: list[dp_levels.Levels] = groups) -> float:
            return sum(float(g.loss[c]) for g, c in zip(groups, levels, strict=True))

        def saved(levels: tuple[int, ...], groups: list[dp_levels.Levels] = groups) -> float:
            return sum(float(g.saved[c]) for g, c in zip(groups, levels, strict=True))

        assert saved(tuple(chosen)) >= wanted - 1e-9
        # Savings are rounded down to two thousandths of what is wanted.
        enough = [c for c in itertools.product(range(5), repeat=4) if saved(c) >= wanted * (1 + 4 / 2000)]
        assert loss(tuple(chosen)) <= min(loss(c) for c in enough) + 1e-12


def test_blocks_turn_their_input_by_the_angle_that_is_measured() -> None:
    model, analysis = analysed(net("gated"))
    inputs = prepare_inputs(model, analysis, Wanted({"x": samples("gated")}), 0)
    groups = tuple(g for g in inputs.analysis.groups if g.key in ("gate[1]", "gate2[1]"))
    scoring = ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)
    scores = {g.atom: np.ones(g.size) for g in groups}
    floors = {g.atom: 1 for g in groups}
    problem = AllocationProblem(groups, scores, floors, CostModel(inputs.analysis), "macs", {}, scoring)
    w = {k: v.astype(np.float64) for k, v in weights("gated").items()}
    stream, angles = samples("gated").astype(np.float64), []
    for place in ("", "2"):
        gate = 1 / (1 + np.exp(-stream @ w[f"gate{place}"]))
        after = stream + (gate * (stream @ w[f"up{place}"])) @ w[f"down{place}"]
        cosines = (stream * after).sum(axis=1)
        cosines /= np.linalg.norm(stream, axis=1) * np.linalg.norm(after, axis=1)
        angles.append(float(np.arccos(np.clip(cosines, -1, 1)).mean() / np.pi))
        stream = after
    by_key = dict(zip((g.key for g in groups), blocks.Cosines().angles(problem), strict=True))
    np.testing.assert_allclose([by_key["gate[1]"], by_key["gate2[1]"]], angles, rtol=1e-4)
    more, less = ("gate[1]", "gate2[1]") if angles[0] > angles[1] else ("gate2[1]", "gate[1]")
    for allocate in (layerwise.sigmoid, layerwise.linear, layerwise.softmax):
        kept = {inputs.analysis.by_atom[a].key: n for a, n in allocate(problem, 0.5).items()}
        assert kept[more] >= kept[less]
        assert abs(sum(kept.values()) - 16) <= 2


def test_what_is_remembered_keeps_no_problem_alive() -> None:
    _, analysis = analysed(net("mlp"))
    groups = tuple(g for g in analysis.groups if not g.frozen)
    made = []

    def path(problem: AllocationProblem) -> int:
        made.append(len(problem.groups))
        return made[-1]

    last = Last(path)
    problem = AllocationProblem(
        groups, {}, {}, CostModel(analysis), "macs", {}, ScoringProblem(analysis, groups, 0)
    )
    alive = weakref.ref(problem)
    assert last.of(problem) == last.of(problem) == len(groups)
    assert len(made) == 1
    del problem
    assert alive() is None
