"""Where the rows of weights go: every element of a tensor by the row that made it.

Rows are numbered over all operators that make a group, one operator after the other. Numbers follow the
graph through whatever moves elements, scales all directions of a head alike, or mixes positions, and stop at
every other operator: such an end has the numbers at its inputs, in their shape of the recorded run. Nothing
that joins tensors is followed, so all directions of a head have met the same factors wherever they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.analysis.facts import NodeFacts
from graphprune.passes import ScoringProblem
from graphprune.statistics import Linear, unit_columns
from graphprune_passes.bases.moves import MOVES, Labels, Shape
from graphprune_passes.bases.products import product_letters
from graphprune_passes.criteria.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """An operator, or a body in it, that rows are not followed through; None where the graph ends.

    Attributes:
        node: the operator.
        labels: by input, the row that each element is from.
    """

    node: NodeFacts | None
    labels: Mapping[int, Labels]

    def rows_at(self, inputs: Iterable[int]) -> set[int]:
        """All rows that arrive at some inputs."""
        return {int(r) for k in inputs for r in np.unique(self.labels[k])}


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """The makers of a group, and where their rows end.

    Attributes:
        makers: the operators.
        first: the number of the first row of each.
        ends: where rows arrive.
    """

    makers: tuple[Linear, ...]
    first: tuple[int, ...]
    ends: tuple[End, ...]

    def owner(self, rows: Ints) -> tuple[Linear, Ints] | None:
        """The maker of some rows and which of its rows they are; None if they are of several."""
        at = np.searchsorted(self.first, rows, side="right") - 1
        if (at != at[0]).any():
            return None
        return self.makers[int(at[0])], (rows - self.first[int(at[0])]).astype(np.int64)


def follow(problem: ScoringProblem, group: Group) -> Flow:
    """Follow the rows of all operators that make a group and whose weights may be changed."""
    makers, first, labels, count = [], [], {}, 0
    for item in _makers(problem, group):
        found = _numbered(item, problem.analysis)
        if found is not None:
            makers.append(item)
            first.append(count)
            labels[item.result] = np.where(found < 0, -1, found + count)
            count += int(found.max()) + 1
    return Flow(tuple(makers), tuple(first), tuple(_Follower(problem.analysis, group, labels).run()))


def _makers(problem: ScoringProblem, group: Group) -> Iterator[Linear]:
    analysis = problem.analysis
    for item in problem.statistics.linear:
        has = any(group.atom in d.atoms for d in analysis.weights[item.weight].dims)
        if has and not (item.why or item.twins or item.outer) and unit_columns(item, analysis, group) is None:
            yield item


def _numbered(item: Linear, analysis: Analysis) -> Labels | None:
    """Which row of the matrix made each element of the result; None where that cannot be said."""
    shape = analysis.recording.shapes.get(item.result)
    blocks, outputs, _ = item.sizes
    if shape is None or blocks != 1:
        return None
    if item.bias and analysis.facts.weights[item.bias].size != outputs:
        return None
    places = []  # of each output along each axis that outputs lie on
    for axis, size in enumerate(shape):
        along = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(shape))])
        laid = item.layout.outputs(np.broadcast_to(along, shape), item.shape, np.zeros(1, np.int64))
        if laid is None or laid.shape != (1, 1, outputs):
            return None
        here = laid[0, 0].astype(np.int64)
        places.append(here if (here != here[0]).any() else np.zeros_like(here))
    small = [int(p.max()) + 1 for p in places]
    found = np.full(small, -1, np.int64)
    found[tuple(places)] = np.arange(outputs)
    fits = all(s in (1, n) for s, n in zip(small, shape, strict=True)) and found.min() >= 0
    return np.broadcast_to(found, shape) if fits else None


class _Follower:
    def __init__(self, analysis: Analysis, group: Group, labels: dict[str, Labels]) -> None:
        self.analysis, self.group, self.labels = analysis, group, labels
        self.shapes = analysis.recording.shapes

    def run(self) -> Iterator[End]:
        for node in self.analysis.facts.nodes:
            given = {k: self.labels[n] for k, n in enumerate(node.inputs) if n in self.labels}
            inside = {-1 - k: self.labels[n] for k, n in enumerate(node.captured) if n in self.labels}
            if not (given or inside) or node.op in ("Shape", "Size"):
                continue
            moved = None if inside else self._moved(node, given)
            if moved is None:
                yield End(node, given | inside)
            else:
                self.labels.update(zip(node.outputs, moved, strict=True))
        for name in self.analysis.facts.outputs:
            if name in self.labels:
                yield End(None, {0: self.labels[name]})

    def _moved(self, node: NodeFacts, given: Mapping[int, Labels]) -> list[Labels] | None:
        """The rows of the elements of a node's outputs; None where it does more than pass them on."""
        shapes = [self.shapes.get(o) for o in node.outputs]
        if len(given) != 1 or node.domain or None in shapes:
            return None
        (at, x), after = next(iter(given.items())), [s for s in shapes if s is not None]
        if node.op in ("Mul", "Div", "MatMul", "Einsum"):
            if any(self._tells_apart(n) for k, n in enumerate(node.inputs) if k != at):
                return None
            if node.op in ("MatMul", "Einsum"):
                mixed = self._mixed(node, at, x, after[0])
                return None if mixed is None else [mixed]
            return [np.broadcast_to(x, after[0])] if node.op == "Mul" or at == 0 else None
        move = MOVES.get(node.op)
        return move(node, x, after, self._value) if move is not None and at == 0 else None

    def _tells_apart(self, name: str) -> bool:
        return any(self.group.atom in d.atoms for d in self.analysis.dims.get(name, ()))

    def _value(self, node: NodeFacts, at: int) -> NDArray[Any] | None:
        """A small input of a node, such as an index."""
        if at >= len(node.inputs) or not node.inputs[at]:
            return None
        found = self.analysis.recording.values.get(node.inputs[at])
        return self.analysis.facts.small_value(node.inputs[at]) if found is None else found

    def _mixed(self, node: NodeFacts, at: int, x: Labels, after: Shape) -> Labels | None:
        """Sums over positions, which all hold the same rows."""
        found = product_letters(node, [len(self.shapes.get(n, ())) for n in node.inputs])
        if found is None:
            return None
        terms, result = found
        mine = terms[at]
        for axis, letter in enumerate(mine):
            if letter not in result:
                first = x.take([0], axis)
                if letter not in terms[1 - at] or (x != first).any():
                    return None
                x = first
        gone = tuple(k for k, c in enumerate(mine) if c not in result)
        x, mine = x.squeeze(gone), "".join(c for c in mine if c in result)
        laid = x.transpose([mine.index(c) for c in result if c in mine])
        return np.broadcast_to(laid[tuple(slice(None) if c in mine else None for c in result)], after)
