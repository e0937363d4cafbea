"""Values of attention in the basis in which the fewest directions matter.

A head mixes positions, never the width of its values, so its values v = W_v x + b may be turned by any
matrix R that the reader undoes: W_v, b -> R^T W_v, R^T b and W_o -> W_o R^-T give the same function. With
E[v v^T] = V S^2 V^T over all positions and the singular value decomposition S V^T W_o^T = U D Q^T,

    R = V S^-1 U

makes values of unit size that are not correlated, and columns of W_o of the sizes D, falling: keeping the
first r directions is the best approximation of rank r of the head's output. Source: MoDeGPT (Lin et al., ICLR
2025), its module of values and outputs; UniQL does the same. Heads that share values share R, found for the
readers of all. Adapted: directions smaller than a thousandth of the largest count as that large. Only where
nothing but moves, additions, and mixing of positions lies between, and every weight that has the width is a
maker, its bias, or a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.analysis.facts import NodeFacts
from graphprune.passes import ScoringProblem
from graphprune.statistics import Linear, unit_columns
from graphprune_passes.bases.turns import Turn, bias_of, matrix_of, second_moment, turned_weights
from graphprune_passes.criteria.units import Floats, Ints, unit_numbers

Array = NDArray[Any]

SMALLEST = 1e-3
_MOVES = frozenset(
    "Reshape Transpose Squeeze Unsqueeze Flatten Identity Expand Split Slice Gather Concat".split()
)
_PRODUCTS = frozenset({"MatMul", "Einsum"})


@dataclass(frozen=True, slots=True)
class Values:
    """The values of all heads.

    Attributes:
        group: their width.
        maker: the operator that makes them.
        rows: the unit of each output of the maker, -1 for none.
        readers: the operators that read them, and the unit of each column.
    """

    group: Group
    maker: Linear
    rows: Ints
    readers: tuple[tuple[Linear, Ints], ...]


Find = Callable[[ScoringProblem, Group], Values | None]


def turned(problem: ScoringProblem) -> Mapping[str, Array]:
    """New values of the weights that make and read values of attention."""
    return turned_weights(problem, turns(problem))


def turns(problem: ScoringProblem, find: Find | None = None) -> list[Turn]:
    """What makes and reads values, turned.

    Args:
        problem: a model with statistics.
        find: where the values of a group are; by default where nothing else is cut along with them.
    """
    found = [v for g in problem.groups if g.kind == "head-dim" and (v := (find or values_of)(problem, g))]
    problem.statistics.collect([v.maker for v in found])
    made: list[Turn] = []
    touched: set[str] = set()
    for values in found:
        weights = {values.maker.weight, *(item.weight for item, _ in values.readers)}
        new = [] if weights & touched else list(_turns(problem, values))
        made += new
        touched |= {t.item.weight for t in new}
    return made


def values_of(problem: ScoringProblem, group: Group) -> Values | None:
    """The values whose width a group is; None if it is not, or they may not be turned."""
    analysis, linear = problem.analysis, problem.statistics.linear
    makers, readers = [], []
    for item in linear:
        units = unit_columns(item, analysis, group)
        if units is not None:
            readers.append((item, units))
        elif any(group.atom in d.atoms for d in analysis.weights[item.weight].dims):
            makers.append(item)
    everyone = (*makers, *(r for r, _ in readers))
    if len(makers) != 1 or not readers or any(i.why or i.twins or i.outer for i in everyone):
        return None
    (maker,) = makers
    ours = {maker.weight, maker.bias, *(r.weight for r, _ in readers)}
    if any(m.weight not in ours for m in group.members):
        return None
    if not _only_mixed(analysis, group, maker, {r.node for r, _ in readers}):
        return None
    rows = unit_rows(maker, analysis, group)
    if rows is None or any(len(u) != 1 for _, u in readers):
        return None
    return Values(group, maker, rows, tuple(readers))


def unit_rows(maker: Linear, analysis: Analysis, group: Group) -> Ints | None:
    """The unit of each output of an operator, -1 for none; None if it has several blocks or no such form."""
    weight = analysis.weights[maker.weight]
    units = np.broadcast_to(unit_numbers(weight.dims, analysis, group), weight.shape)
    seen = maker.layout.matrix(maker.view(units))
    bias = analysis.facts.weights[maker.bias].size if maker.bias else seen.shape[1]
    if len(seen) != 1 or (seen != seen[:, :, :1]).any() or bias != seen.shape[1]:
        return None
    return seen[0, :, 0].astype(np.int64)


def _only_mixed(analysis: Analysis, group: Group, maker: Linear, readers: set[str]) -> bool:
    """Whether values reach their readers without anything being done to single directions."""
    flow = {maker.output}
    for node in analysis.facts.nodes:
        given = [n for n in (*node.inputs, *node.captured) if n in flow]
        if not given or node.name in readers:
            continue
        if not _is_blind(analysis, group, node, flow, {maker.bias}):
            return False
        flow.update(n for n in node.outputs if _has(analysis, group, n))
    return True


def _has(analysis: Analysis, group: Group, name: str) -> bool:
    return any(group.atom in d.atoms for d in analysis.dims.get(name, ()))


def _is_blind(analysis: Analysis, group: Group, node: NodeFacts, flow: set[str], biases: set[str]) -> bool:
    """Whether a node does the same to every direction, and mixes none with others."""
    others = [n for n in node.inputs if n and n not in flow]
    mixed = any(_has(analysis, group, n) for n in others)
    if node.op in ("Add", "Sum"):
        return all(n in biases for n in others)
    if node.op in _PRODUCTS or node.op == "Mul":
        single = len([n for n in node.inputs if n in flow]) == 1
        return single and not mixed and all(_has(analysis, group, n) for n in node.outputs)
    return node.op in _MOVES and not node.bodies and not mixed


def _turns(problem: ScoringProblem, values: Values) -> Iterator[Turn]:
    """What makes and reads the values, turned head by head."""
    size, maker = values.group.size, values.maker
    made, bias = matrix_of(problem, maker), bias_of(problem, maker)
    read = [matrix_of(problem, item) for item, _ in values.readers]
    (moments,) = problem.statistics.moments(maker)
    for head in range(int(values.rows.max()) // size + 1):
        rows = _of_head(values.rows, head, size)
        columns = [list(_copies(units[0], head, size)) for _, units in values.readers]
        if len(rows) != size or not any(columns):
            continue
        second = second_moment(made[0][rows] * maker.gain, bias[rows], moments)
        outputs = [
            m[0][:, c] * i.gain
            for m, cs, (i, _) in zip(read, columns, values.readers, strict=True)
            for c in cs
        ]
        forth, back = basis(second, np.concatenate(outputs))
        yield Turn(maker, rows, forth.T)
        for (item, _), copies in zip(values.readers, columns, strict=True):
            yield from (Turn(item, c, back.T, reads=True) for c in copies)


def basis(second: Floats, reader: Floats) -> tuple[Floats, Floats]:
    """R and its inverse, for values with this second moment and a reader `(outputs, width)`."""
    squares, vectors = np.linalg.eigh(second)
    sizes = np.sqrt(np.maximum(squares, 0))
    sizes = np.maximum(sizes, max(SMALLEST * float(sizes.max()), 1e-12))
    left, _, _ = np.linalg.svd(sizes[:, None] * (vectors.T @ reader.T), full_matrices=True)
    return vectors / sizes @ left, left.T @ (sizes[:, None] * vectors.T)


def _of_head(units: Ints, head: int, size: int) -> Ints:
    """Places of the units of a head, in their order."""
    places = np.flatnonzero((units >= 0) & (units // size == head))
    return places[np.argsort(units[places], kind="stable")].astype(np.int64)


def _copies(units: Ints, head: int, size: int) -> Iterator[Ints]:
    """Columns of the units of a head, once for each head that shares them."""
    places = _of_head(units, head, size)
    if len(places) % size == 0:
        yield from places.reshape(size, -1).T
