"""From a model to facts: symbolic dimensions, groups, exactness, costs. Nothing here changes a graph."""

from graphprune.analysis.analyser import Analysis, Group, Member, Weight, analyse_model
from graphprune.analysis.cost import Cost, CostModel

__all__ = ["Analysis", "Cost", "CostModel", "Group", "Member", "Weight", "analyse_model"]
