"""Recipes: published methods, each as a choice of parts, and ours.

`follows` says whether a recipe does all that its paper does; the others are adapted, mostly because the paper
trains before, between or after the cuts, looks at what the layers before have become, scores with gradients,
or ranks in another way. That more kinds of layers can be cut than in the paper is no difference. What is not
stated in a paper is stated here. docs/recipes.md has the whole list, and what is not offered.
"""

from __future__ import annotations

from graphprune.passes import Recipe
from graphprune_passes.recipes import activations, depth, experts, surgeon, weights

RECIPES = (
    Recipe(
        "auto", "obs", "mean", "sensitivity", "knapsack", "refit-blocks",
        "ours: OBS scores, measured sensitivity, knapsack on exact costs, refit to the original", True,
        "the best we have: needs inputs, makes some up if none are given",
    ),
    Recipe(
        "plain", "l2-group", "mean", "mean", "uniform", "none",
        "Fang et al., DepGraph, CVPR 2023, with the same share for every group", False,
        "weights only, nothing repaired: fast, and a start for fine-tuning",
    ),
    *weights.RECIPES,
    *activations.RECIPES,
    *surgeon.RECIPES,
    *experts.RECIPES,
    *depth.RECIPES,
)  # fmt: skip
