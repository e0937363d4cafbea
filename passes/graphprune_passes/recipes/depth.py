"""Recipes that remove whole layers and leave widths alone."""

from __future__ import annotations

from graphprune.analysis import LAYERS
from graphprune.passes import Recipe

ONLY_LAYERS = (LAYERS,)

RECIPES = (
    Recipe(
        "shortgpt", "l2-group", "mean", "none", "uniform", "none",
        "Men et al., ShortGPT, 2024", False,
        "layers that turn the stream least, all at once; attention and perceptron by themselves",
        ONLY_LAYERS, depth="block-influence",
    ),
    Recipe(
        "sleb", "l2-group", "mean", "none", "uniform", "none",
        "Song et al., SLEB, ICML 2024", False,
        "whole blocks, one by one, by what the outputs change; divergence from the original, no labels",
        ONLY_LAYERS, depth="greedy-kl",
    ),
    Recipe(
        "finercut", "l2-group", "mean", "none", "uniform", "none",
        "Zhang et al., FinerCut, 2024", False,
        "attention and perceptron layers, one by one, by divergence of the outputs; the first 40 % go last, "
        "and trials leave the mean of a layer behind",
        ONLY_LAYERS, depth="greedy-js",
    ),
    Recipe(
        "gate-norm", "l2-group", "mean", "none", "uniform", "none",
        "Data-Free Pruning of Self-Attention Layers in LLMs (Gate-Norm), 2025", False,
        "attention layers whose queries and keys multiply to least, without data; the gain of the norm in "
        "front counts too, and other layers go last",
        ONLY_LAYERS, depth="gate-norm",
    ),
    Recipe(
        "laptop", "l2-group", "mean", "none", "knapsack", "bn-recal",
        "Zhang et al., LAPTOP-Diff, 2024", False,
        "layers by what the outputs lose without them, knapsack on exact costs; no distillation",
        ONLY_LAYERS, depth="output-loss",
    ),
    Recipe(
        "gp-depth", "l2-group", "mean", "none", "knapsack", "refit-blocks",
        "ours: as laptop, repaired as auto is", True,
        "layers by what the outputs lose without them, then everything that stays is refitted",
        ONLY_LAYERS, depth="output-loss",
    ),
)  # fmt: skip
