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


class Pointers:
    """The tensors of a model whose numbers are positions, and along what."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._along: dict[str, Dim] = {}

    def of(self, node: NodeFacts) -> list[Dim | None]:
        """For each input the dimension that its numbers are positions along."""
        return [self._along.get(n) for n in node.inputs]

    def follow(self, node: NodeFacts, context: NodeContext) -> None:
        """After the rule of a node: what its outputs point along, and what it makes of those it was given."""
        for name, dim in zip(node.outputs, context.points, strict=True):
            if name and dim is not None:
                self._along[name] = dim
        for index, name in enumerate(node.inputs):
            if name not in self._along or index in context.followed or node.op in _BLIND:
                continue
            if node.op in _CARRYING and index == 0 and not node.domain:
                self._along.update(dict.fromkeys((n for n in node.outputs if n), self._along[name]))
            else:
                self.give_up([name], f'read by {node.op} "{node.name}"')

    def give_up(self, names: Iterable[str], how: str) -> None:
        """Freeze what these tensors point along: somebody reads the numbers themselves."""
        for name in names:
            if name in self._along:
                self._solver.freeze(self._along[name], f"its positions are numbers {how}")
