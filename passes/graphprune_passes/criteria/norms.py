"""Shared by the magnitude criteria: norms of slots, one weight in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group, Weight
from graphprune.dims.evaluate import fold, slots_of
from graphprune.passes import MemberScore, ScoringProblem
from graphprune.statistics import find_linear, unit_columns


def members(problem: ScoringProblem) -> Iterator[tuple[Weight, NDArray[np.float32], list[Group]]]:
    """The weights that carry a score, their real values, and the groups they have.

    Biases and other weights that are only added say nothing about how much a slot matters and are left
    out.
    """
    wanted = {g.atom: g for g in problem.groups}
    for weight in problem.analysis.weights.values():
        atoms = {a for d in weight.dims for a in d.atoms} & wanted.keys()
        if atoms and not weight.additive and weight.real:
            array = problem.weight_array(weight.name).astype(np.float32, copy=False)
            yield weight, array, [wanted[a] for a in sorted(atoms)]


def role(weight: Weight, group: Group, reading: bool) -> Literal["producer", "parameter", "consumer"]:
    """What a weight does with the slots of a group."""
    if sum(s > 1 for s in weight.shape) <= 1:
        return "parameter"
    return "consumer" if reading else "producer"


def member_norms(problem: ScoringProblem, power: int) -> dict[int, list[MemberScore]]:
    """For every group the sums of |w|^power over each slot, one for each weight that has it, makers first."""
    linear = find_linear(problem.analysis)
    reading = {
        (i.weight, g.atom)
        for i in linear
        for g in problem.groups
        if unit_columns(i, problem.analysis, g) is not None
    }
    known = {i.weight for i in linear}
    found: dict[int, list[MemberScore]] = {g.atom: [] for g in problem.groups}
    for weight, array, groups in members(problem):
        powered = np.abs(array) ** power
        for group in groups:
            values = fold(powered, weight.dims, group.atom, group.outer)
            reads = (weight.name, group.atom) in reading
            if weight.name not in known:  # a kind of operator without a matrix form: makers mostly come first
                reads = any(m.role != "parameter" for m in found[group.atom])
            found[group.atom].append(MemberScore(values, role(weight, group, reads)))
    for atom, values in _owned_norms(problem, power).items():
        found[atom].append(MemberScore(values, "consumer"))
    for scores in found.values():
        scores.sort(key=lambda m: m.role != "producer")
    return found


def _owned_norms(problem: ScoringProblem, power: int) -> dict[int, NDArray[np.float64]]:
    """The same over the weights that belong to one slot alone: experts that are written out one by one."""
    sizes = {g.atom: g.size for g in problem.groups}
    found: dict[int, NDArray[np.float64]] = {}
    for name, owner in problem.analysis.owners.items():
        weight = problem.analysis.weights.get(name)
        (atom,) = owner.atoms
        if weight is None or atom not in sizes or weight.additive or not weight.real:
            continue
        array = problem.weight_array(name).astype(np.float32, copy=False)
        (slot,) = slots_of(owner, atom)
        values = found.setdefault(atom, np.zeros(sizes[atom]))
        values[slot] += (np.abs(array) ** power).sum(dtype=np.float64)
    return found
