"""Random ONNX graphs, valid by construction, and the properties that pruning any of them must have.

A `Recipe` is a seed and a list of steps; `build` turns it into a model. Every step is one motif of one
of the `moves_*` modules and picks what it works on by itself, so any sub-list of steps is a recipe too,
which is all that shrinking needs.
"""

from graphfuzz.properties import Broken, Checked, check
from graphfuzz.recipe import Recipe, Step, build, moves, random_recipe

__all__ = ["Broken", "Checked", "Recipe", "Step", "build", "check", "moves", "random_recipe"]
