"""Prepares a model for analysis without changing what it computes.

normalise(model)    a new model: functions inlined, constants in one place, no false sharing
reshare(model)      after a rewrite: what was one initializer and is still equal becomes one again
"""

from graphprune.normalise.sharing import reshare
from graphprune.normalise.steps import STEPS, normalise

__all__ = ["STEPS", "normalise", "reshare"]
