"""From a model to facts: symbolic dimensions, groups, exactness, costs. Nothing here changes a graph."""

from graphprune.analysis.analyser import LAYERS, Analysis, Group, Member, analyse_model
from graphprune.analysis.cost import Cost, CostModel, Saving
from graphprune.analysis.layers import Layer
from graphprune.analysis.weights import Weight

__all__ = [
    "LAYERS",
    "Analysis",
    "Cost",
    "CostModel",
    "Group",
    "Layer",
    "Member",
    "Saving",
    "Weight",
    "analyse_model",
]
