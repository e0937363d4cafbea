"""From facts and a wish to a decision: which slots every group keeps. Nothing here changes a graph."""

from graphprune.decide.budget import Target, parse_targets
from graphprune.decide.candidates import Candidates, choose_candidates
from graphprune.decide.decision import Decision, Options, candidates_for, decide
from graphprune.decide.machine import Machine, measure_machine, needs_machine
from graphprune.decide.parts import Parts, choose_parts

__all__ = [
    "Candidates",
    "Decision",
    "Machine",
    "Options",
    "Parts",
    "Target",
    "candidates_for",
    "choose_candidates",
    "choose_parts",
    "decide",
    "measure_machine",
    "needs_machine",
    "parse_targets",
]
