"""Shared by the magnitude criteria: norms of slots, one weight in memory at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.dims.evaluate import fold
from graphprune.passes import ScoringProblem


def member_norms(problem: ScoringProblem, power: int) -> dict[int, list[NDArray[np.float64]]]:
    """For every group the sums of |w|^power over each slot, one array for each weight that has it.

    Biases and other weights that are only added say nothing about how much a slot matters and are left
    out. Arrays have the shape of the group's scores.
    """
    wanted = {g.atom: g for g in problem.groups}
    found: dict[int, list[NDArray[np.float64]]] = {a: [] for a in wanted}
    for weight in problem.analysis.weights.values():
        atoms = {a for d in weight.dims for a in d.atoms} & wanted.keys()
        if not atoms or weight.additive or not weight.real:
            continue
        array = np.abs(problem.weight_array(weight.name).astype(np.float32, copy=False)) ** power
        for atom in sorted(atoms):
            found[atom].append(fold(array, weight.dims, atom, wanted[atom].outer))
    return found
