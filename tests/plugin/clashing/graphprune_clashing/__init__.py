"""A package of somebody else's that takes a name which is in use."""

from graphprune.passes import Pass, Scores, ScoringProblem


def l1(problem: ScoringProblem) -> Scores:
    """Never called: the clash is found before."""
    raise NotImplementedError


PASSES = (Pass("criterion", "l1", l1, "another l1"),)
