"""Which rows of weights make the units of a group, and which columns read them; shared by the criteria.

A unit is a slot, or, where a group keeps other slots for each outer one, a pair of both; units are
numbered like the scores of the group laid out flat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group, Weight
from graphprune.dims import Dim, Sum, slots_of
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.statistics import Linear, Moments, find_linear, unit_columns
from graphprune_passes.criteria.norms import member_norms

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def unit_numbers(dims: Sequence[Dim], analysis: Analysis, group: Group) -> Ints:
    """The unit at each place of a tensor with these axes, stretching over it; -1 for none."""
    units = _along(dims, group.atom)
    stride = group.size
    for outer in reversed(group.outer):
        found = _along(dims, outer)
        units = np.where((units >= 0) & (found >= 0), units + stride * found, -1)
        stride *= analysis.atom_sizes[outer]
    return units


def unit_axis(dims: Sequence[Dim], analysis: Analysis, group: Group) -> tuple[int, Ints] | None:
    """The one axis of a tensor along which the units lie, and the unit at each of its places."""
    wanted = {group.atom, *group.outer}
    axes = [k for k, d in enumerate(dims) if wanted & set(d.atoms)]
    if len(axes) != 1 or not wanted <= set(dims[axes[0]].atoms):
        return None
    return axes[0], unit_numbers([dims[axes[0]]], analysis, group)


def by_unit(array: NDArray[Any], units: Ints, count: int) -> Floats:
    """The elements of each unit as a row, `(count, elements)`; short rows end in zeros."""
    axes = [k for k, size in enumerate(units.shape) if size > 1]
    sizes = np.bincount(units[units >= 0], minlength=count)
    if len(axes) == 1 and sizes.min() == sizes.max() > 0:  # whole slices, without an index for each element
        order = np.argsort(units.reshape(-1), kind="stable")[-int(sizes.sum()) :]
        return np.moveaxis(array, axes[0], 0)[order].reshape(count, -1).astype(np.float64)
    flat = np.broadcast_to(units, array.shape).reshape(-1)
    order = np.argsort(flat, kind="stable")
    order = order[np.searchsorted(flat[order], 0) :]
    numbers = flat[order]
    sizes = np.bincount(numbers, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    found = np.zeros((count, max(1, int(sizes.max(initial=0)))))
    found[numbers, np.arange(len(numbers)) - starts[numbers]] = array.reshape(-1)[order]
    return found


def count_of(problem: ScoringProblem, group: Group) -> int:
    """How many units a group has."""
    return int(np.prod(problem.shape_of(group)))


def producers(
    problem: ScoringProblem, group: Group, linear: Sequence[Linear] | None = None
) -> Iterator[tuple[Weight, Floats]]:
    """The weights that make the units, and for each the elements of every unit as rows.

    Weights that read the units, scale them or are added to them are left out. Where nothing is left, what
    scales the units is given instead. Weights that are stored as one, side by side, come one by one.
    """
    linear = find_linear(problem.analysis) if linear is None else linear
    count = count_of(problem, group)
    reading = {i.weight for i in linear if unit_columns(i, problem.analysis, group) is not None}
    names = dict.fromkeys(m.weight for m in group.members)
    weights = [problem.analysis.weights[n] for n in names]
    weights = [w for w in weights if w.real and not w.additive]
    making = [w for w in weights if w.name not in reading and sum(s > 1 for s in w.shape) > 1]
    for weight in making or weights:
        array = problem.weight_array(weight.name)
        units = unit_numbers(weight.dims, problem.analysis, group)
        for part in _apart(weight.dims, group, units):
            yield weight, by_unit(array, part, count)


def _apart(dims: Sequence[Dim], group: Group, units: Ints) -> list[Ints]:
    """The units of each of several weights that are stored as one, as a gate beside what it gates."""
    found = []
    for axis, dim in enumerate(dims):
        start = 0
        for term in dim.terms if isinstance(dim, Sum) else ():
            if group.atom in term.atoms:
                within = (slice(None),) * axis + (slice(start, start + term.size),)
                part = np.full_like(units, -1)
                part[within] = units[within]
                found.append(part)
            start += term.size
    if len(found) < 2:
        return [units]
    whole = set(np.unique(units)) - {-1}
    return found if all(whole <= set(np.unique(f)) for f in found) else [units]


def score_producers(problem: ScoringProblem, score: Callable[[Floats], Floats]) -> MemberScores:
    """A score of every unit from the rows `(units, elements)` of each weight that makes them.

    A group that no weight has an axis for (experts written out one by one) is scored by its squared weights.
    """
    linear = find_linear(problem.analysis)
    return {
        g.atom: [
            MemberScore(np.asarray(score(rows), np.float64).reshape(problem.shape_of(g)), "producer")
            for _, rows in producers(problem, g, linear)
        ]
        or by_weight(problem, g)
        for g in problem.groups
    }


@dataclass(frozen=True, slots=True)
class Reader:
    """One block of an operator that reads a group.

    Attributes:
        weight: `(outputs, columns)`.
        moments: of the rows it reads.
        units: the unit of each column, -1 for none.
    """

    weight: Floats
    moments: Moments
    units: Ints

    def total(self, columns: Floats, count: int) -> Floats:
        """Sum over the columns of each unit."""
        mine = self.units >= 0
        return np.asarray(np.bincount(self.units[mine], columns[mine], count), np.float64)


def items_reading(problem: ScoringProblem) -> dict[int, list[tuple[Linear, Ints]]]:
    """For every group the operators that read it, and the unit of each of their columns."""
    found: dict[int, list[tuple[Linear, Ints]]] = {}
    for group in problem.groups:
        found[group.atom] = []
        for item in problem.statistics.linear:
            units = unit_columns(item, problem.analysis, group)
            if units is not None:
                found[group.atom].append((item, units))
    return found


def readers(problem: ScoringProblem) -> Iterator[tuple[Group, list[list[Reader]]]]:
    """Every group with the operators that read it, each as its blocks."""
    reading = items_reading(problem)
    problem.statistics.collect([i for items in reading.values() for i, _ in items])
    for group in problem.counted(problem.groups):
        yield group, [_blocks(problem, item, units) for item, units in reading[group.atom]]


def _blocks(problem: ScoringProblem, item: Linear, units: Ints) -> list[Reader]:
    seen = item.view(problem.weight_array(item.weight))
    matrix = item.layout.matrix(seen).astype(np.float64) * item.gain
    blocks = zip(matrix, problem.statistics.moments(item), units, strict=True)
    return [Reader(w, m, u) for w, m, u in blocks if (u >= 0).any()]


def score_columns(problem: ScoringProblem, score: Callable[[Floats, Moments], Floats]) -> MemberScores:
    """A score of every unit from the columns of each operator that reads it; columns of a unit are added up.

    Args:
        problem: what to score.
        score: from the weight of a block `(outputs, columns)` and the moments of its rows to one number for
            each column.

    A group that no linear operator reads is scored by the squared weights of its members.
    """
    found = {}
    for group, operators in readers(problem):
        count = count_of(problem, group)
        found[group.atom] = [
            MemberScore(
                np.sum([r.total(score(r.weight, r.moments), count) for r in blocks], axis=0).reshape(
                    problem.shape_of(group)
                ),
                "consumer",
            )
            for blocks in operators
            if blocks
        ] or by_weight(problem, group)
    return found


def by_weight(problem: ScoringProblem, group: Group) -> list[MemberScore]:
    """What stands in for a score that cannot be had: squared weights of each unit."""
    return member_norms(replace(problem, groups=(group,)), power=2)[group.atom]


def _along(dims: Sequence[Dim], atom: int) -> Ints:
    found = np.full((1,) * len(dims), -1, np.int64)
    for axis, dim in enumerate(dims):
        if atom in dim.atoms:
            shape = [1] * len(dims)
            shape[axis] = dim.size
            along = slots_of(dim, atom).reshape(shape)
            found = np.where(along >= 0, along, found)
    return found
