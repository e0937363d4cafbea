"""Shared by the criteria that need activations themselves and not only their moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.passes import ScoringProblem
from graphprune_passes.criteria.units import Ints, items_reading, unit_axis

Maps = NDArray[np.float64]


def tensors_read(problem: ScoringProblem) -> dict[int, list[tuple[str, int, Ints]]]:
    """For every group the tensors its readers get: name, axis of the units, unit at each place of it."""
    found: dict[int, list[tuple[str, int, Ints]]] = {}
    for atom, items in items_reading(problem).items():
        group = problem.analysis.by_atom[atom]
        found[atom] = []
        for name in dict.fromkeys(item.input for item, _ in items if not item.outer):
            where = unit_axis(problem.analysis.dims.get(name, ()), problem.analysis, group)
            if where is not None and where[0] > 0:
                found[atom].append((name, *where))
    return found


def each_batch(problem: ScoringProblem, names: Sequence[str], batches: int) -> Iterator[dict[str, Maps]]:
    """The tensors for the first batches of calibration inputs."""
    for number, found in enumerate(problem.statistics.tensors(list(dict.fromkeys(names)))):
        if number == batches:
            return
        problem.say(number, min(batches, len(problem.statistics.batches)))
        yield {n: np.asarray(a, np.float64) for n, a in found.items()}


def by_sample(x: Maps, axis: int) -> Maps:
    """Activations as `(samples, places of the units, positions)`; samples are along the first axis."""
    return np.moveaxis(x, axis, 1).reshape(x.shape[0], x.shape[axis], -1)


def groups_by_atom(problem: ScoringProblem) -> dict[int, Group]:
    """The groups to score."""
    return {g.atom: g for g in problem.groups}
