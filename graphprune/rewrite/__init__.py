"""The only place that makes a new graph: evaluates the analysis' expressions with the kept slots."""

from graphprune.rewrite.masking import masked
from graphprune.rewrite.rewrite import rewrite

__all__ = ["masked", "rewrite"]
