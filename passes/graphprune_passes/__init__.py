"""The passes graphprune ships: criteria and allocations, one idea a file.

This table is what the entry point offers; a new pass is its file and one line here.
"""

from graphprune.passes import Pass
from graphprune_passes.allocations import global_, uniform
from graphprune_passes.criteria import l1, l2_group, random

PASSES = (
    Pass("criterion", "l2-group", l2_group.score, "squared weights of all members, averaged (DepGraph)"),
    Pass("criterion", "l1", l1.score, "absolute weights that make the slot"),
    Pass("criterion", "random", random.score, "uniformly random, the baseline"),
    Pass("allocation", "uniform", uniform.allocate, "the same share of every group"),
    Pass("allocation", "global", global_.allocate, "one ranking over all groups, with a floor for each"),
)
