"""Symbolic dimensions: the algebra in which the whole analysis is written.

Every axis of every tensor is a `Dim`, an expression over atoms. Operators equate dimensions; the
`Solver` makes two expressions equal by refining atoms. What is left are the prunable dimensions.
"""

from graphprune.dims.evaluate import Keeps, Slots, evaluate, kept_size, positions, slots_of, terms_of
from graphprune.dims.expr import Atom, Const, Dim, Product, Sum, Take, add, atoms_in, atoms_of, multiply
from graphprune.dims.solver import Mismatch, Solver

__all__ = [
    "Atom",
    "Const",
    "Dim",
    "Keeps",
    "Mismatch",
    "Product",
    "Slots",
    "Solver",
    "Sum",
    "Take",
    "add",
    "atoms_in",
    "atoms_of",
    "evaluate",
    "kept_size",
    "multiply",
    "positions",
    "slots_of",
    "terms_of",
]
