"""A trial of the whole cut decides which scores are believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphprune.inputs import Wanted, prepare_inputs
from graphprune.passes import Scores, ScoringProblem
from graphprune.testing import analysed
from graphprune_passes.normalisers.joint import believed
from tests.passes.nets import net, samples

Array = NDArray[Any]


@pytest.fixture(scope="module")
def problem() -> ScoringProblem:
    model, analysis = analysed(net("mlp"))
    inputs = prepare_inputs(model, analysis, Wanted({"x": samples("mlp")}), 0)
    groups = tuple(g for g in inputs.analysis.groups if not g.frozen)
    return ScoringProblem(inputs.analysis, groups, 0, inputs.statistics)


class Told:
    """Trials whose losses are known beforehand; remembers what was tried."""

    def __init__(self, *losses: float) -> None:
        self._losses = list(losses)
        self.tried: list[Mapping[str, Array]] = []

    def loss(self, weights: Mapping[str, Array]) -> float:
        self.tried.append(weights)
        return self._losses.pop(0)


def favouring(problem: ScoringProblem, cheap: int) -> Scores:
    """Scores by which the slots of one group cost next to nothing."""
    return {
        g.atom: np.linspace(1, 2, g.size) * (1e-6 if k == cheap else 1.0)
        for k, g in enumerate(problem.groups)
    }


@pytest.mark.parametrize(("second", "winner"), [(0.5, 1), (0.9, 0), (2.0, 0)])
def test_another_is_believed_only_where_it_is_clearly_better(
    problem: ScoringProblem, second: float, winner: int
) -> None:
    candidates = (favouring(problem, 0), favouring(problem, 1))
    assert believed(problem, candidates, Told(1.0, second)) is candidates[winner]  # type: ignore[arg-type]


def test_what_is_tried_is_what_the_scores_ask_for(problem: ScoringProblem) -> None:
    trials = Told(1.0, 1.0)
    believed(problem, (favouring(problem, 0), favouring(problem, 1)), trials)  # type: ignore[arg-type]
    for cheap, weights in enumerate(trials.tried):
        group = problem.groups[cheap]
        made = next(m.weight for m in group.members if m.weight.startswith("w"))
        axis = next(
            k for k, d in enumerate(problem.analysis.weights[made].dims) if d.atoms == frozenset({group.atom})
        )
        gone = ~np.asarray(weights[made]).any(axis=1 - axis)
        assert gone[: gone.sum()].all(), "the lowest scores go"
        assert 0 < gone.sum() < group.size
