"""Recipes that look at weights only: but for merging, nothing is run, so a model need not be able to run."""

from __future__ import annotations

from graphprune.passes import Recipe

CONV = ("channels",)

RECIPES = (
    Recipe(
        "random", "random", "mean", "none", "uniform", "none",
        "the baseline", True, "removes slots by lot, the same share everywhere: what others must beat",
    ),
    Recipe(
        "l1", "l1", "first", "none", "uniform", "none",
        "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017", False,
        "smallest absolute weights of the filter or neuron itself; the same share everywhere in place of "
        "rates set by hand, no training afterwards",
        ("channels", "neurons"),
    ),
    Recipe(
        "spa-l1", "l1", "mean", "mean", "global", "none",
        "Wang et al., Structurally Prune Anything, 2024", False,
        "smallest absolute weights over all coupled members, one ranking; in one shot, no training after it",
    ),
    Recipe(
        "depgraph", "l2-group", "mean", "mean", "global", "none",
        "Fang et al., DepGraph, CVPR 2023", False,
        "smallest squared weights over all coupled members, one ranking; in one shot, without the paper's "
        "sparse training and the training afterwards",
    ),
    Recipe(
        "isomorphic", "l2-group", "mean", "mean", "global-isomorphic", "none",
        "Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024", False,
        "rankings among groups of the same make; with weights in place of the paper's Taylor scores",
    ),
    Recipe(
        "lamp", "l2-group", "mean", "lamp", "global", "none",
        "Lee et al., Layer-Adaptive Sparsity for Magnitude-based Pruning, ICLR 2021", False,
        "squared weights over the sum of those not smaller, one ranking; of slots, not of single weights",
    ),
    Recipe(
        "fpgm", "fpgm", "first", "none", "uniform", "none",
        "He et al., Filter Pruning via Geometric Median, CVPR 2019", False,
        "filters that lie closest to the others, the same share everywhere; in one shot, the paper chooses "
        "again and again while it trains", CONV,
    ),
    Recipe(
        "bn-slim", "bn-scale", "mean", "none", "global", "none",
        "Liu et al., Network Slimming, ICCV 2017", False,
        "smallest scales of batch normalisation, one ranking; without the paper's sparse training", CONV,
    ),
    Recipe(
        "global-mp", "l2-group", "mean", "none", "global", "none",
        "Gupta et al., Is Complexity Required for Neural Network Pruning?, 2022", False,
        "smallest squared weights, one ranking as they are, a floor for each group; of slots, not of weights",
    ),
    Recipe(
        "erk-random", "random", "mean", "none", "erk", "none",
        "Liu et al., The Unreasonable Effectiveness of Random Pruning, ICLR 2022", False,
        "by lot, large layers lose more; widths in place of sparse weights, and no training from there",
    ),
    Recipe(
        "precrop", "l1", "first", "none", "waterfill", "none",
        "Structured Pruning is All You Need for Pruning CNNs at Initialization (PreCropping), 2022", False,
        "every layer gets the same budget unless it needs less; of a trained network",
        ("channels", "neurons"),
    ),
    Recipe(
        "sap", "l2-group", "mean", "none", "pqi", "none",
        "Diao et al., Pruning Deep Neural Networks from a Sparsity Perspective, ICLR 2023", False,
        "groups whose weight lies in few slots lose more; in one shot",
    ),
    Recipe(
        "maw", "maw", "producers", "none", "uniform", "none",
        "Fragile Knowledge, Robust Instruction-Following, 2025", True,
        "neurons of (gated) layers by the range of the weights that make them, the same share everywhere",
        ("neurons",),
    ),
    Recipe(
        "intra-fusion", "l1", "mean", "mean", "uniform", "merge",
        "Theus et al., Towards Meta-Pruning via Optimal Transport (Intra-Fusion), ICLR 2024", False,
        "removed units are merged into the most similar that stay; one partner each, no transport plan",
        ("channels", "neurons"), noise="only:uniform",  # repairs take inputs; this one reads none
    ),
)  # fmt: skip
