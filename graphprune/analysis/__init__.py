"""From a model to facts: symbolic dimensions, groups, exactness, costs. Nothing here changes a graph."""

from graphprune.analysis.analyser import Analysis, Group, Member, analyse_model
from graphprune.analysis.cost import Cost, CostModel, Saving
from graphprune.analysis.weights import Weight

__all__ = ["Analysis", "Cost", "CostModel", "Group", "Member", "Saving", "Weight", "analyse_model"]
