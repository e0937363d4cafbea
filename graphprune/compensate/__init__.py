"""Repair: new values for the weights that remain, from what flows through the model.

solve.py       closed-form fits of one operator
sequential.py  a whole network, front to back
  within.py    operators in bodies of If, Loop and Scan
reconstruct.py operators that feed a refitted one move as well, segment by segment
  segments.py  which operators those are
  walk.py      what reaches them
  descent.py   how they move
  narrow.py    the network at pruned widths, and the way back
whole.py       all weights move together on the outputs
  stretch.py   which nodes those are
  likeness.py  what is lost of a tensor
trial.py       one group by itself, to see what it costs
impressions.py made-up pictures come nearer to those of training, by the same gradients
"""

from graphprune.compensate.sequential import How, repair
from graphprune.compensate.trial import with_weights

__all__ = ["How", "repair", "with_weights"]
