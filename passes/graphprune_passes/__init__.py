"""The passes and recipes graphprune ships: one idea a file.

These tables are what the entry points offer; a new pass is its file and one line here.
"""

from graphprune.passes import Pass
from graphprune_passes import compensations, normalisers, reducers
from graphprune_passes.allocations import (
    dp_levels,
    erk,
    evolve,
    global_,
    knapsack,
    layerwise,
    pools,
    spdy,
    split,
    swap,
    uniform,
    waterfill,
)
from graphprune_passes.bases import attention, values
from graphprune_passes.bases import keys as keys_basis
from graphprune_passes.compensations import batch_norm, merge
from graphprune_passes.criteria import (
    activations,
    beta_rank,
    bn_scale,
    chip,
    experts,
    fpgm,
    keys,
    l1,
    l2_group,
    leverage,
    loss_drop,
    maw,
    minitron,
    obs,
    obs_kin,
    random,
    routers,
    tyr,
    usage,
)
from graphprune_passes.depth import gate, greedy, influence, norms, removal
from graphprune_passes.recipes import RECIPES

PASSES = (
    Pass("criterion", "l2-group", l2_group.score, "squared weights of all members (DepGraph)"),
    Pass("criterion", "l1", l1.score, "absolute weights of all members"),
    Pass("criterion", "random", random.score, "uniformly random, the baseline", reduced=True),
    Pass(
        "criterion",
        "obs",
        obs.score,
        "error left when the readers of a slot are refitted (OBS)",
        "inputs",
        reduced=True,
    ),
    Pass(
        "criterion",
        "obs-second",
        obs_kin.second,
        "as obs, for readers whose bias must stay",
        "inputs",
        reduced=True,
    ),
    Pass("criterion", "obs-diag", obs_kin.diagonal, "cost of removing each slot by itself (OBS)", "inputs"),
    Pass("criterion", "tyr", tyr.score, "second and first order cost, in rounds (Tyr-the-Pruner)", "inputs"),
    Pass("criterion", "fpgm", fpgm.score, "distance to all other slots (FPGM)"),
    Pass("criterion", "bn-scale", bn_scale.score, "scale of batch normalisation (Network Slimming)"),
    Pass("criterion", "maw", maw.peaks, "range of the weights that make the slot (MAW)"),
    Pass("criterion", "vow", maw.variance, "variance of the weights that make the slot (VOW)"),
    Pass("criterion", "pon", maw.norms, "absolute weights that make the slot, to be multiplied (PON)"),
    Pass("criterion", "act-norm", activations.norm, "root mean square of the activation (CFSP)", "inputs"),
    Pass("criterion", "act-var", activations.variance, "variance of the activation (VBP)", "inputs"),
    Pass("criterion", "wanda", activations.wanda, "weights times norm of the activation (Wanda)", "inputs"),
    Pass(
        "criterion", "flap-wifv", activations.fluctuation, "variance times squared weights (FLAP)", "inputs"
    ),
    Pass("criterion", "flap-ifv", activations.variance, "variance of the activation (FLAP)", "inputs"),
    Pass(
        "criterion", "flap-wifn", activations.wanda, "weights times norm of the activation (FLAP)", "inputs"
    ),
    Pass("criterion", "minitron", minitron.score, "norm over samples of mean activations", "inputs"),
    Pass("criterion", "chip", chip.score, "loss of nuclear norm without the map (CHIP)", "inputs"),
    Pass("criterion", "beta-rank", beta_rank.score, "filter norm times amplified differences", "inputs"),
    Pass("criterion", "leverage", leverage.score, "ridge leverage of the activation (MoDeGPT)", "inputs"),
    Pass("criterion", "reap", experts.reap, "share times norm of what an expert gives (REAP)", "inputs"),
    Pass("criterion", "man", experts.man, "norm of what an expert gives", "inputs"),
    Pass("criterion", "moe-wanda", experts.wanda, "as wanda, activations of experts times shares", "inputs"),
    Pass(
        "criterion", "router-similarity", routers.score, "distance to an expert that is chosen alike (STUN)"
    ),
    Pass("criterion", "usage", usage.score, "share of rows in which the slot adds most (SHRP)", "inputs"),
    Pass(
        "criterion",
        "query-key",
        keys.score,
        "queries times keys, squared, channel by channel (ThinK)",
        "inputs",
    ),
    Pass(
        "criterion",
        "loss-drop",
        loss_drop.score,
        "what features and outputs lose without it (OPTIN)",
        "inputs",
    ),
    Pass(
        "criterion",
        "modules",
        keys.modules,
        "leverage, for widths of heads norms of queries and keys",
        "inputs",
    ),
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
    Pass(
        "normaliser",
        "sensitivity",
        normalisers.sensitivity,
        "stretched to measured losses",
        "inputs",
        unit="output variance",
    ),
    Pass("allocation", "uniform", uniform.allocate, "the same share of every group"),
    Pass("allocation", "global", global_.allocate, "one ranking over all groups, with a floor for each"),
    Pass(
        "allocation",
        "knapsack",
        knapsack.allocate,
        "least score for what is saved, on exact costs",
        layers=True,
    ),
    Pass(
        "allocation",
        "dp-levels",
        dp_levels.allocate,
        "least score by dynamic programming (SPDY)",
        layers=True,
    ),
    Pass("allocation", "global-isomorphic", pools.isomorphic, "one ranking for groups of the same make"),
    Pass("allocation", "global-type", pools.by_kind, "one ranking for each kind of group"),
    Pass("allocation", "erk", erk.allocate, "small layers stay dense (RigL)"),
    Pass("allocation", "waterfill", waterfill.allocate, "the same budget for every layer (PreCropping)"),
    Pass("allocation", "pqi", layerwise.pqi, "by how few slots hold the scores (SAP)"),
    Pass("allocation", "cfsp-sigmoid", layerwise.sigmoid, "by how much a block changes, sigmoid", "inputs"),
    Pass("allocation", "adapt-linear", layerwise.linear, "by how much a block changes, linear", "inputs"),
    Pass("allocation", "softmax", layerwise.softmax, "by how much a block changes, softmax", "inputs"),
    Pass(
        "allocation", "kwon-split", split.allocate, "the best split between heads and neurons (Kwon et al.)"
    ),
    Pass(
        "allocation",
        "uniform-swap",
        uniform.allocate,
        "the same share, then slots change places (OSSCAR)",
        "inputs",
        swap.settle,
    ),
    Pass(
        "allocation",
        "spdy",
        dp_levels.allocate,
        "dp-levels, with measured coefficients (SPDY)",
        "inputs",
        spdy.settle,
    ),
    Pass(
        "allocation",
        "evolve",
        uniform.allocate,
        "the same share, then measured swaps of widths",
        "inputs",
        evolve.settle,
    ),
    Pass("compensation", "none", compensations.none, "weights stay as they are"),
    Pass("compensation", "refit", compensations.refit, "refit to the original, front to back", "inputs"),
    Pass(
        "compensation",
        "refit-blocks",
        compensations.refit_blocks,
        "refit, then fit what feeds each refitted operator too, then all to the outputs",
        "inputs",
        choices=True,
    ),
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
    Pass("compensation", "refit-m-bn", compensations.refit_moment_bn, "refit-m, then bn-recal", "inputs"),
    Pass("compensation", "bn-recal", batch_norm.recalibrate, "estimate batch normalisation again", "inputs"),
    Pass("basis", "values", values.turned, "directions of values by what they add (MoDeGPT)", "inputs"),
    Pass(
        "basis",
        "keys",
        keys_basis.turned,
        "directions of queries and keys by what they tell scores (A3); where values share their width, as in "
        "one axis of three, take `attention`",
        "inputs",
    ),
    Pass(
        "basis",
        "attention",
        attention.turned,
        "both: `keys`, and values also where they share a width with queries and keys",
        "inputs",
    ),
    Pass(
        "depth",
        "output-loss",
        removal.loss,
        "what the outputs lose without the layer (LAPTOP-Diff)",
        "inputs",
        unit="output variance",
    ),
    Pass(
        "depth", "block-influence", influence.score, "how far a layer turns the stream (ShortGPT)", "inputs"
    ),
    Pass("depth", "greedy-js", greedy.finercut, "one by one, by divergence of outputs (FinerCut)", "inputs"),
    Pass(
        "depth",
        "greedy-kl",
        greedy.sleb,
        "whole blocks one by one, by divergence of outputs (SLEB)",
        "inputs",
    ),
    Pass("depth", "gate-norm", gate.score, "size of queries times keys, attention first (Gate-Norm)"),
    Pass("depth", "weight-norm", norms.last, "size of the last weight"),
    # Needs no activations, but is run where inputs are prepared, as every repair is.
    Pass(
        "compensation",
        "merge",
        merge.merge,
        "merge what goes into the most similar that stays; looks at weights alone, any inputs will do",
        "inputs",
    ),
)

__all__ = ["PASSES", "RECIPES"]
