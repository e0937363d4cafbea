"""Recipes for mixtures of experts: whole experts, or the neurons inside them."""

from __future__ import annotations

from graphprune.passes import Recipe

EXPERTS = ("experts",)

RECIPES = (
    Recipe(
        "reap", "reap", "mean", "none", "uniform", "none",
        "Lasby et al., REAP the Experts, 2025", True,
        "experts of small share times norm over the rows that are routed to them, as many in each layer",
        EXPERTS,
    ),
    Recipe(
        "man", "man", "mean", "none", "uniform", "none",
        "unified expert scores, arXiv 2606.15716", True,
        "experts that give little to the rows that are routed to them, as many in each layer", EXPERTS,
    ),
    Recipe(
        "stun", "router-similarity", "mean", "none", "global", "none",
        "Lee et al., STUN, 2024", False,
        "of experts whose rows of the router are alike one stays, one threshold for all layers; first stage, "
        "without co-activation and merging", EXPERTS,
    ),
    Recipe(
        "moe-wanda", "moe-wanda", "consumers", "none", "uniform", "refit-c",
        "Xie et al., MoE-Pruner, 2024", False,
        "neurons (of experts: times the share of their expert); structured, refitted where all rows pass",
        ("neurons",),
    ),
)  # fmt: skip
