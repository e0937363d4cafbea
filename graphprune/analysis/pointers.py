"""Whole numbers that are positions along a dimension: which expert was chosen, by TopK or ArgMax.

Where slots of the dimension go, those that stay are renumbered, here as there, so whoever picks with such
numbers from the same dimension picks the right thing. Anybody else would see other numbers than before, so
there the dimension is frozen.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphprune.analysis.facts import NodeFacts
from graphprune.dims import Dim, Solver
from graphprune.rules import NodeContext

# What only moves numbers, or changes their type.
_CARRYING = frozenset(
    "Cast Identity Reshape Flatten Squeeze Unsqueeze Transpose Slice Gather Expand Tile Split".split()
)
_BLIND = frozenset({"Shape", "Size"})  # they look at no number
# Inputs with such a name hold numbers of another kind than ids of a vocabulary.
_NO_IDS = ("position", "type", "segment", "mask")


class Pointers:
    """The tensors of a model whose numbers are positions, and along what; and those that hold given ids."""

    def __init__(self, solver: Solver, inputs: Iterable[str]) -> None:
        self._solver = solver
        self._along: dict[str, Dim] = {}
        self._ids = {n for n in inputs if not any(word in n.lower() for word in _NO_IDS)}

    def of(self, node: NodeFacts) -> list[Dim | None]:
        """For each input the dimension that its numbers are positions along."""
        return [self._along.get(n) for n in node.inputs]

    def ids(self, node: NodeFacts) -> list[bool]:
        """For each input whether it holds numbers of a graph input as they were given."""
        return [n in self._ids for n in node.inputs]

    def follow(self, node: NodeFacts, context: NodeContext) -> None:
        """After the rule of a node: what its outputs point along, and what it makes of those it was given."""
        for name, dim in zip(node.outputs, context.points, strict=True):
            if name and dim is not None:
                self._along[name] = dim
        carrying = node.op in _CARRYING and not node.domain
        if carrying and node.inputs[0] in self._ids:
            self._ids.update(n for n in node.outputs if n)
        for index, name in enumerate(node.inputs):
            if name not in self._along or index in context.followed or node.op in _BLIND:
                continue
            if carrying and index == 0:
                self._along.update(dict.fromkeys((n for n in node.outputs if n), self._along[name]))
            else:
                self.give_up([name], f'read by {node.op} "{node.name}"')

    def give_up(self, names: Iterable[str], how: str) -> None:
        """Freeze what these tensors point along: somebody reads the numbers themselves."""
        for name in names:
            if name in self._along:
                self._solver.freeze(self._along[name], f"its positions are numbers {how}")
