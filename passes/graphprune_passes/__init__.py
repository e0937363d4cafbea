"""The passes and recipes graphprune ships: one idea a file.

These tables are what the entry points offer; a new pass is its file and one line here.
"""

from graphprune.passes import Pass
from graphprune_passes import compensations, normalisers, reducers
from graphprune_passes.allocations import global_, knapsack, uniform
from graphprune_passes.criteria import l1, l2_group, obs, random
from graphprune_passes.recipes import RECIPES

PASSES = (
    Pass("criterion", "l2-group", l2_group.score, "squared weights of all members (DepGraph)"),
    Pass("criterion", "l1", l1.score, "absolute weights of all members"),
    Pass("criterion", "random", random.score, "uniformly random, the baseline"),
    Pass("criterion", "obs", obs.score, "error left when the readers of a slot are refitted (OBS)", "inputs"),
    Pass("reducer", "sum", reducers.total, "sum over members"),
    Pass("reducer", "mean", reducers.mean, "mean over members"),
    Pass("reducer", "max", reducers.largest, "largest over members"),
    Pass("reducer", "prod", reducers.product, "geometric mean over members"),
    Pass("reducer", "l2", reducers.root_sum_square, "Euclidean norm over members"),
    Pass("reducer", "first", reducers.first, "the weight that makes the slots"),
    Pass("reducer", "consumers", reducers.consumers_only, "sum over the weights that read the slots"),
    Pass("reducer", "producers", reducers.producers_only, "sum over the weights that make the slots"),
    Pass("reducer", "rank-fusion", reducers.rank_fusion, "reciprocal ranks added up"),
    Pass("normaliser", "none", normalisers.none, "scores as they are"),
    Pass("normaliser", "sum", normalisers.total, "divided by the sum of the group"),
    Pass("normaliser", "mean", normalisers.mean, "divided by the mean of the group"),
    Pass("normaliser", "max", normalisers.largest, "divided by the largest of the group"),
    Pass("normaliser", "minmax", normalisers.minmax, "stretched to [0, 1]"),
    Pass("normaliser", "zscore", normalisers.zscore, "standardised (FLAP)"),
    Pass("normaliser", "quantile", normalisers.quantile, "divided by the median"),
    Pass("normaliser", "lamp", normalisers.lamp, "divided by the sum of those not smaller (LAMP)"),
    Pass("normaliser", "rank", normalisers.rank, "rank within the group"),
    Pass("normaliser", "zscore-sigmoid", normalisers.zscore_sigmoid, "logistic function of the z-score"),
    Pass("normaliser", "per-cost", normalisers.per_cost, "divided by what a slot costs"),
    Pass("normaliser", "sensitivity", normalisers.sensitivity, "stretched to measured losses", "inputs"),
    Pass("allocation", "uniform", uniform.allocate, "the same share of every group"),
    Pass("allocation", "global", global_.allocate, "one ranking over all groups, with a floor for each"),
    Pass("allocation", "knapsack", knapsack.allocate, "least score for what is saved, on exact costs"),
    Pass("compensation", "none", compensations.none, "weights stay as they are"),
    Pass("compensation", "refit", compensations.refit, "refit to the original, front to back", "inputs"),
    Pass(
        "compensation",
        "refit-output",
        compensations.refit_dense,
        "refit each operator to its output",
        "inputs",
    ),
    Pass(
        "compensation", "refit-c", compensations.refit_covariance, "refit with covariance and bias", "inputs"
    ),
    Pass("compensation", "refit-m", compensations.refit_moment, "refit with second moments (OBS)", "inputs"),
    Pass(
        "compensation", "bias", compensations.bias, "move the mean of what is removed to the bias", "inputs"
    ),
    Pass("compensation", "scale", compensations.scale, "scale the remaining columns", "inputs"),
)

__all__ = ["PASSES", "RECIPES"]
