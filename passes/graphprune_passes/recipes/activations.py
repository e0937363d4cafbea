"""Recipes that score by the size or the variance of activations."""

from __future__ import annotations

from graphprune.passes import Recipe

HEADS_AND_FFN = ("heads", "kv-groups", "neurons")

RECIPES = (
    Recipe(
        "wanda-sp", "wanda", "consumers", "none", "uniform", "none",
        "Sun et al., Wanda, ICLR 2024, structured as in An et al., FLAP, AAAI 2024", False,
        "weights times activations at the readers, the same share everywhere; activations of the original, "
        "there of what the layers before have become", HEADS_AND_FFN,
    ),
    Recipe(
        "flap", "flap-wifv", "consumers", "zscore", "global", "bias",
        "An et al., FLAP, AAAI 2024", False,
        "fluctuation times weights, one ranking of z-scores, means move into biases; heads added up first, a "
        "ratio counts slots and a budget what they cost, in place of 512/3 neurons for a head",
        (*HEADS_AND_FFN, "channels"),
    ),
    Recipe(
        "vbp", "act-var", "consumers", "none", "global", "bias",
        "Berisha et al., Variance-Based Pruning, ICCV 2025", False,
        "neurons of least variance, one ranking as it is, means move into biases; no training afterwards",
        ("neurons",),
    ),
    Recipe(
        "ob2c", "act-var", "consumers", "mean", "global", "refit-c",
        "OB2C / DVBP, arXiv 2608.17657", False,
        "least variance, readers refitted with covariance and bias; divided by the mean of the group first",
    ),
    Recipe(
        "cfsp", "act-norm", "consumers", "none", "cfsp-sigmoid", "none",
        "Wang et al., CFSP, COLING 2025", False,
        "neurons of small activation; blocks that change little lose more, on a scale of our own",
        ("neurons",),
    ),
    Recipe(
        "chip", "chip", "mean", "mean", "global", "none",
        "Sui et al., CHIP, NeurIPS 2021", False,
        "feature maps that the others can tell, by nuclear norms, on few samples; one ranking in place of "
        "rates set by hand, no training afterwards", ("channels",),
    ),
    Recipe(
        "beta-rank", "beta-rank", "first", "minmax", "uniform", "none",
        "Beta-Rank: A Robust Convolutional Filter Pruning Method, 2023", False,
        "filters that keep samples apart; the same share everywhere in place of rates set by hand",
        ("channels",),
    ),
    Recipe(
        "minitron", "minitron", "consumers", "none", "evolve", "none",
        "Muralidharan et al., Minitron, NeurIPS 2024", False,
        "heads and neurons of small mean activation, widths by a small search; no distillation",
        HEADS_AND_FFN,
    ),
    Recipe(
        "uniql", "modules", "consumers", "none", "softmax", "none",
        "UniQL, 2025", False,
        "neurons that others can tell, by leverage, channels of small queries and keys, values in a basis of "
        "their own; blocks that change little lose more; one width instead of a sorted model",
        ("neurons", "head-dim"), basis="values",
    ),
    Recipe(
        "modegpt", "modules", "consumers", "none", "softmax", "refit-m",
        "Lin et al., MoDeGPT, ICLR 2025", False,
        "as uniql, and readers are refitted (Nystrom), those of values too; shares without a clamp",
        ("neurons", "head-dim"), basis="values",
    ),
    Recipe(
        "shrp-static", "usage", "consumers", "none", "uniform", "bias",
        "SHRP: Specialized Head Routing and Pruning", False,
        "heads that seldom contribute most; measured without the trained router, means move into biases",
        ("heads", "kv-groups"),
    ),
    Recipe(
        "think-static", "query-key", "sum", "none", "uniform", "none",
        "Xu et al., ThinK, ICLR 2025", False,
        "widths of heads: channels in which queries and keys say little to each other, rotary pairs "
        "together; one choice for all inputs, values by what they add",
        ("head-dim",),
    ),
    Recipe(
        "optin", "loss-drop", "mean", "none", "kwon-split", "none",
        "Khaki and Plataniotis, OPTIN, ICLR 2024", False,
        "heads and neurons whose loss moves features and outputs least, best split between both; a bounded "
        "number of runs, neurons in bunches",
        HEADS_AND_FFN,
    ),
)  # fmt: skip
