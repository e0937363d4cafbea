"""From facts and a wish to a decision: which slots every group keeps. Nothing here changes a graph."""

from graphprune.decide.budget import Target, parse_targets
from graphprune.decide.candidates import Candidates, choose_candidates
from graphprune.decide.decision import Decision, Options, decide

__all__ = ["Candidates", "Decision", "Options", "Target", "choose_candidates", "decide", "parse_targets"]
