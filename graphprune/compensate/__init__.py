"""Repair: new values for the weights that remain, from what flows through the model.

solve.py       closed-form fits of one operator
sequential.py  a whole network, front to back
trial.py       one group by itself, to see what it costs
"""

from graphprune.compensate.sequential import How, repair
from graphprune.compensate.trial import with_weights

__all__ = ["How", "repair", "with_weights"]
