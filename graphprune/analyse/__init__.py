"""From a model to facts: symbolic dimensions, groups, exactness, costs. Nothing here changes a graph."""

from graphprune.analyse.analysis import Analysis, Group, Member, Weight, analyse_model
from graphprune.analyse.cost import Cost, CostModel

__all__ = ["Analysis", "Cost", "CostModel", "Group", "Member", "Weight", "analyse_model"]
