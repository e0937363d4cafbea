"""What flows through a model: its linear operators in matrix form, and moments of what they read.

layout.py   operators in matrix form: rows of inputs, matrices of weights
transposed.py  the same of transposed convolutions
products.py the same of products whose axes lie in any order
linear.py   finds the linear operators; which columns belong to a unit of a group
biases.py   gives every linear operator a bias, at zero
states.py   gives recurrent operators the output of all their states
moments.py  streaming mean and covariance
collect.py  moments of all operators in one pass over the calibration inputs
inside.py   what operators in bodies of If, Loop and Scan read
stages.py   runs a model stage by stage, while its weights change
parts.py    runs a model in a few parts, from the middle if need be
enough.py   whether the inputs were enough for what was learnt from them
twins.py    the same network with channels that look as in training, for inputs that do not
"""

from graphprune.statistics.biases import drop_zero_biases, open_biases
from graphprune.statistics.collect import Statistics
from graphprune.statistics.enough import Looked, too_few
from graphprune.statistics.linear import Linear, find_linear, unit_columns, working_memory
from graphprune.statistics.moments import Moments
from graphprune.statistics.states import close_states, open_states
from graphprune.statistics.twins import ChannelMoments, Twin, make_twin

__all__ = [
    "ChannelMoments",
    "Linear",
    "Looked",
    "Moments",
    "Statistics",
    "Twin",
    "close_states",
    "drop_zero_biases",
    "find_linear",
    "make_twin",
    "open_biases",
    "open_states",
    "too_few",
    "unit_columns",
    "working_memory",
]
