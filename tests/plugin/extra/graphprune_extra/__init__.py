"""A package of somebody else's that offers a criterion, and a recipe that uses it."""

import numpy as np

from graphprune.passes import Pass, Recipe, Scores, ScoringProblem


def first_slots(problem: ScoringProblem) -> Scores:
    """Falling from the first slot to the last."""
    return {
        g.atom: np.broadcast_to(np.arange(g.size, 0.0, -1.0), problem.shape_of(g)) for g in problem.groups
    }


PASSES = (Pass("criterion", "first-slots", first_slots, "the first slots matter most", reduced=True),)

RECIPES = (
    Recipe(
        name="firsts",
        criterion="first-slots",
        reducer="mean",
        normaliser="none",
        allocation="uniform",
        compensation="none",
        paper="nobody's",
        follows=True,
        summary="keeps the first slots of every group",
    ),
)
