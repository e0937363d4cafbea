"""What pruning must achieve on a network that was really trained, and what least squares must satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

import graphprune
from graphprune.compensate.solve import refit
from graphprune.statistics import Moments
from graphprune_passes.criteria.obs_kin import damped_inverse, removal_costs
from graphprune_passes.criteria.tyr import without
from graphprune_passes.criteria.units import Reader

pytest.importorskip("sklearn")

if TYPE_CHECKING:
    from tests.passes.digits import Digits

Floats = NDArray[np.float64]
SAMPLES = 224  # seven batches: with eight, one would be kept aside


@pytest.fixture(scope="module")
def digits() -> Digits:
    from tests.passes.digits import train

    trained = train()
    assert trained.accuracy(trained.model) > 96
    return trained


def prune(digits: Digits, ratio: float | None = 0.7, samples: int = SAMPLES, **options: Any) -> Any:
    given = {"verify": False, "structures": ("neurons",), "calib": {"x": digits.train[:samples]}, **options}
    return graphprune.prune(digits.model, ratio, **given)


def test_refitting_makes_up_for_a_random_choice(digits: Digits) -> None:
    parts = {"criterion": "random", "allocation": "uniform"}
    bare = digits.accuracy(prune(digits, **parts, compensation="none").model)
    refitted = digits.accuracy(prune(digits, **parts, compensation="refit-c").model)
    assert refitted >= bare + 15
    assert refitted >= 95


@pytest.mark.parametrize("criterion", ["random", "l1", "wanda", "act-var"])
@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_a_bias_at_one_place_never_increases_the_error(digits: Digits, criterion: str, ratio: float) -> None:
    """The last hidden layer: what reads it are the outputs."""
    images = digits.train[:SAMPLES]
    before = digits.outputs(digits.model, images)
    errors = {}
    for compensation in ("none", "bias"):
        pruned = prune(digits, ratio, criterion=criterion, compensation=compensation, only=["w2"])
        errors[compensation] = np.square(digits.outputs(pruned.model, images) - before).mean()
    assert errors["bias"] <= errors["none"]


@pytest.mark.parametrize("criterion", ["wanda", "act-var"])
@pytest.mark.parametrize("ratio", [0.7, 0.85])
@pytest.mark.parametrize("floor", [{}, {"min_keep": 0.02}], ids=["default floor", "lower floor"])
def test_a_ranking_of_raw_scores_collapses_layers_and_says_so(
    digits: Digits, criterion: str, ratio: float, floor: dict[str, float]
) -> None:
    """Also with the default floor, at which a network is as good as cut in two."""
    parts = {"criterion": criterion, "reducer": "consumers", "allocation": "global", "compensation": "none"}

    def pruned(normaliser: str) -> Any:
        return prune(digits, ratio, **parts, normaliser=normaliser, **floor)

    raw, comparable = pruned("none"), pruned("mean")
    (said,) = [w for w in raw.report["warnings"] if "layer collapse" in w]
    least = min(raw.report["groups"], key=lambda g: g["after"] / g["before"])
    assert f'"{least["key"]}" with {least["after"]} of {least["before"]}' in said
    assert "--normaliser mean" in said
    assert not any("layer collapse" in w for w in comparable.report["warnings"])


def test_obspa_works_without_data(digits: Digits) -> None:
    given = prune(digits, recipe="obspa-free", verify=True)
    assert digits.accuracy(given.model) >= 90
    assert given.report["method"]["calibration"]["synthetic"]
    assert "which nothing was learnt from" in given.report["judged_on"]
    made_up = prune(digits, recipe="obspa-free", calib=None)
    assert made_up.plan.groups == given.plan.groups, "the inputs that were given change nothing"
    assert digits.accuracy(prune(digits, recipe="obspa-id").model) >= 95


def test_too_few_inputs_are_warned_of(digits: Digits) -> None:
    few = prune(digits, recipe="obspa-id", samples=16)
    assert any("too few calibration inputs" in w for w in few.report["warnings"])
    enough = prune(digits, recipe="obspa-id")
    assert not any("too few calibration inputs" in w for w in enough.report["warnings"])


@pytest.mark.parametrize("recipe", ["auto", "plain", "obspa-id", "flap"])
def test_a_target_that_is_met_already_changes_nothing(digits: Digits, recipe: str) -> None:
    same = prune(digits, None, target="macs=100%", recipe=recipe, structures=None)
    assert same.model.graph.node == digits.model.graph.node
    assert list(same.model.graph.initializer) == list(digits.model.graph.initializer)
    for count in ("params", "macs"):
        assert same.report["after"][count] == same.report["before"][count]
    images = digits.test[:64]
    assert np.array_equal(digits.outputs(same.model, images), digits.outputs(digits.model, images))


# -- least squares ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem() -> tuple[Floats, Floats]:
    """Rows with a mean and correlated columns, and a weight that reads them."""
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(400, 24)) @ (np.eye(24) + 0.1 * draw.normal(size=(24, 24))) + draw.normal(
        size=24
    )
    return rows, draw.normal(size=(7, 24))


class Exact(Moments):
    """Moments in double precision, of rows that are all there."""

    def __init__(self, rows: Floats) -> None:
        super().__init__()
        self.rows = rows

    @property
    def second(self) -> Floats:
        return np.asarray(self.rows.T @ self.rows / len(self.rows))


def measured(rows: Floats, weight: Floats, new: Floats, bias: Floats | float = 0.0) -> float:
    """Mean squared error of all outputs together."""
    return float(np.square(rows @ (weight - new).T - bias).sum(axis=1).mean())


def refitted(moment: Floats, weight: Floats, kept: NDArray[np.intp]) -> Floats:
    new = np.zeros_like(weight)
    cross = weight @ moment[:, kept]
    new[:, kept] = refit(moment[np.ix_(kept, kept)], cross, weight[:, kept], 0.0)
    return new


def test_predicted_errors_are_measured_errors(problem: tuple[Floats, Floats]) -> None:
    rows, weight = problem
    reader = Reader(weight, Exact(rows), np.arange(24) // 2)
    inverse = damped_inverse(reader.moments.second, damping=0.0)
    costs = removal_costs(reader, inverse, 12)
    for unit in range(12):
        smaller, _ = without(reader, inverse, np.array([unit]))
        new = np.where(smaller.units >= 0, smaller.weight, 0)
        assert measured(rows, weight, new) == pytest.approx(costs[unit], rel=1e-6)


def test_three_ways_to_the_same_weights(problem: tuple[Floats, Floats]) -> None:
    rows, weight = problem
    moment = rows.T @ rows / len(rows)
    gone, kept = np.array([3, 4, 11, 17, 20]), np.setdiff1d(np.arange(24), [3, 4, 11, 17, 20])
    by_normal_equations = refitted(moment, weight, kept)
    reader, inverse = Reader(weight, Exact(rows), np.arange(24)), np.linalg.inv(moment)
    at_once, _ = without(reader, inverse, gone)
    one_by_one = reader
    for unit in gone:
        one_by_one, inverse = without(one_by_one, inverse, np.array([unit]))
    for other in (at_once, one_by_one):
        np.testing.assert_allclose(other.weight[:, kept], by_normal_equations[:, kept], rtol=1e-8, atol=1e-8)


def test_weights_and_bias_together_are_never_worse(problem: tuple[Floats, Floats]) -> None:
    rows, weight = problem
    mean = rows.mean(axis=0)
    second, covariance = rows.T @ rows / len(rows), np.cov(rows.T, bias=True)
    draw = np.random.default_rng(6)
    for _ in range(20):
        kept = np.sort(draw.choice(24, 10, replace=False))
        errors = []
        for moment in (covariance, second):
            new = refitted(moment, weight, kept)
            errors.append(measured(rows, weight, new, (weight - new) @ mean))
        assert errors[0] <= errors[1] * (1 + 1e-12)
