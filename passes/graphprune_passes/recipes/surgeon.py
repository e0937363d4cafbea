"""Recipes of the Optimal Brain Surgeon family: score and repair by least squares on the readers.

OBSPA has the formulas of its paper, but `obs-second` and `refit-m` take the statistics of the original for
every operator, where the paper goes on with what the layers before have become. That readers are added up,
that groups are divided by their mean, and what happens to batch normalisation is our reading.
"""

from __future__ import annotations

from graphprune.passes import Recipe

HEADS_AND_FFN = ("heads", "kv-groups", "neurons")
SPA = "Wang et al., Structurally Prune Anything (OBSPA), 2024"

RECIPES = (
    Recipe(
        "obspa-id", "obs-second", "sum", "mean", "global", "refit-m-bn", SPA, False,
        "OBS at every reader, one ranking, block update, batch normalisation again; on training inputs, "
        "with the statistics of the original for every operator",
    ),
    Recipe(
        "obspa-ood", "obs-second", "sum", "mean", "global", "refit-m-bn", SPA, False,
        "the same parts as obspa-id, for inputs of another data set",
    ),
    Recipe(
        "obspa-free", "obs-second", "sum", "mean", "global", "refit-m", SPA, False,
        "the same on made-up inputs, whatever inputs are given; batch normalisation stays",
        noise="only:uniform",
    ),
    Recipe(
        "obs-diff", "obs-diag", "rank-fusion", "none", "uniform", "refit-m",
        "OBS-Diff: Accurate Pruning for Diffusion Models in One-Shot, 2025", False,
        "OBS costs, ranks of several readers added up, block update; one round, no weights for time steps",
        HEADS_AND_FFN,
    ),
    Recipe(
        "ziplm", "obs-second", "sum", "none", "spdy", "refit-m",
        "Kurtic et al., ZipLM, NeurIPS 2023", False,
        "one unit at a time (several in groups of more than 96), levels by dynamic programming with "
        "coefficients that are searched for; dozens of trials, costs are counted unless the target is a "
        "latency, no training between",
        ("heads", "kv-groups", "neurons", "channels"),
    ),
    Recipe(
        "tyr", "tyr", "consumers", "none", "evolve", "refit-m",
        "Li et al., Tyr-the-Pruner, NeurIPS 2025", False,
        "second and first order in rounds, widths by evolution from coarse to fine, refit; dozens of trials, "
        "judged by the error of the outputs",
        HEADS_AND_FFN,
    ),
    Recipe(
        "darwinlm", "obs-second", "sum", "none", "evolve", "refit-m",
        "Tang et al., DarwinLM, 2025", False,
        "one unit at a time (several in groups of more than 96), widths by evolution with selection in "
        "stages, refit; no training of candidates",
        HEADS_AND_FFN,
    ),
    Recipe(
        "osscar", "obs-second", "sum", "none", "uniform-swap", "refit-m",
        "Meng et al., OSSCAR, ICML 2024", False,
        "least quadratic loss at the readers, local search by swaps, refit; statistics of the original, "
        "there of what the layers before have become",
        ("heads", "kv-groups", "neurons", "channels"),
    ),
    Recipe(
        "comp", "obs-diag", "consumers", "none", "uniform", "scale",
        "COMP: Lightweight Post-Training Structured Pruning, 2025", False,
        "neurons part: our reading of its condition score, then factors by least squares; no layers dropped",
        ("neurons",),
    ),
    Recipe(
        "gp-best", "obs", "sum", "sensitivity", "dp-levels", "refit",
        "ours: as auto, widths by dynamic programming", True,
        "OBS scores, measured sensitivity, dynamic programming, refit to the original",
    ),
    Recipe(
        "gp-free", "obs", "sum", "mean", "global-isomorphic", "refit-c", "ours", True,
        "the best without data: OBS on made-up inputs, like against like, refit", noise="only:auto",
    ),
    Recipe(
        "emo-pms", "l2-group", "mean", "sensitivity", "knapsack", "refit-c",
        "An EMO Joint Pruning with Multiple Sub-networks (EMO-PMS)", False,
        "each group is a sub-network whose widths are measured against what the outputs lose, fronts are "
        "joined by that loss on exact costs; a front of one width needs no evolution",
        ("channels",),
    ),
)  # fmt: skip
