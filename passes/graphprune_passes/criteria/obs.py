"""Optimal Brain Surgeon scores: what removing a unit costs its readers once they are refitted.

Units are removed one after the other, always the one whose removal, with the best possible change of the
remaining weights, moves the outputs of its readers least; the score of a unit is the error its removal
added, as a share of the variance of those outputs. Groups of more than 96 units lose several at a time, in
about 96 steps: the error of a step is divided among its units by what each would have cost alone. So the
sum of the lowest scores of a group is the whole error of removing these units, which is what allocations
want to know. A group that no operator reads which can be refitted is scored by its weights.

Sources: Hassibi and Stork (1993); structured form of ZipLM (Kurtic et al., NeurIPS 2023) and OSSCAR (Meng et
al., ICML 2024); with the centred covariance, as in OB2C, because a bias takes up the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.passes import Scores, ScoringProblem
from graphprune.statistics import unit_columns
from graphprune_passes.criteria.units import by_weight

Floats = NDArray[np.float64]

DAMPING = 1e-2
_STEPS = 96  # wide groups lose several units at a time


def score(problem: ScoringProblem) -> Scores:
    """Error that the removal of each unit adds, relative, summed over the readers of the group."""
    return {g.atom: trace(problem, g) for g in problem.counted(problem.groups)}


def trace(problem: ScoringProblem, group: Group, *, centred: bool = True) -> Floats:
    """Scores of one group, shape of its scores."""
    shape = problem.shape_of(group)
    count = int(np.prod(shape))
    readers = list(_readers(problem, group, centred))
    if not readers:
        return _by_weight(problem, group)
    return _eliminate(readers, count).reshape(shape)


def _by_weight(problem: ScoringProblem, group: Group) -> Floats:
    """What stands in where no reader of a group can be refitted: shares of its squared weights."""
    squares = np.sum([m.values for m in by_weight(problem, group)], axis=0)
    return np.asarray(squares / max(float(squares.sum()), 1e-30), np.float64)


@dataclass(slots=True)
class _Reader:
    """One block of one operator that reads the group.

    Attributes:
        inverse: of the damped covariance, `(columns, columns)`.
        weight: `(outputs, columns)`, refitted as units go.
        units: for each size of a unit, its number and columns: `(units,)`, `(units, size)`.
        scale: variance of the operator's outputs.
        gone: columns whose units have been removed.
        known: costs of its units, until some of them go.
    """

    inverse: Floats
    weight: Floats
    units: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    scale: float
    gone: NDArray[np.bool_]
    known: Floats | None = None

    def costs(self, count: int) -> Floats:
        """Cost of removing each unit by itself."""
        if self.known is None:
            self.known = self._costs(count)
        return self.known

    def _costs(self, count: int) -> Floats:
        found = np.zeros(count)
        for numbers, columns in self.units:
            if columns.shape[1] == 1:
                c = columns[:, 0]
                found[numbers] += np.square(self.weight[:, c]).sum(axis=0) / np.diag(self.inverse)[c]
                continue
            blocks = self.inverse[columns[:, :, None], columns[:, None, :]]
            w = self.weight[:, columns].transpose(1, 2, 0)  # units, size, outputs
            found[numbers] += np.einsum("uij,uji->u", np.linalg.inv(blocks), w @ w.transpose(0, 2, 1))
        return found / self.scale

    def remove(self, gone: NDArray[np.bool_]) -> float:
        """Remove units (told for each of the group), refit the rest, and return the error that this adds."""
        columns = np.concatenate([columns[gone[numbers]].ravel() for numbers, columns in self.units])
        if not len(columns):
            return 0.0
        self.known = None
        block = self.inverse[np.ix_(columns, columns)]
        right = np.linalg.solve(block, self.inverse[columns])
        lost = self.weight[:, columns]
        error = float(np.einsum("ni,ij,nj->", lost, np.linalg.inv(block), lost, optimize=True))
        self.weight -= lost @ right
        _subtract_product(self.inverse, self.inverse[:, columns], right)
        self.units = [(n[k], c[k]) for n, c in self.units for k in [~gone[n]]]
        self.gone[columns] = True
        if self.gone.mean() > 0.2:
            self._shrink()
        return max(error, 0.0) / self.scale

    def _shrink(self) -> None:
        """Forget the columns that are gone, which only cost time."""
        kept = np.flatnonzero(~self.gone)
        place = np.full(len(self.gone), -1)
        place[kept] = np.arange(len(kept))
        self.inverse = self.inverse[np.ix_(kept, kept)]
        self.weight = self.weight[:, kept]
        self.units = [(n, place[c]) for n, c in self.units]
        self.gone = np.zeros(len(kept), bool)


def _readers(problem: ScoringProblem, group: Group, centred: bool) -> Iterator[_Reader]:
    statistics = problem.statistics
    found = []
    for item in statistics.linear:
        units = unit_columns(item, problem.analysis, group)
        if units is not None:
            found.append((item, units))
    statistics.collect([item for item, _ in found])
    for item, units in found:
        matrix = item.layout.matrix(item.view(problem.weight_array(item.weight))).astype(np.float64)
        blocks = statistics.moments(item)
        covariances = [m.covariance if centred else m.second for m in blocks]
        scale = sum(
            float(np.einsum("nc,cd,nd->", w, c, w, optimize=True))
            for w, c in zip(matrix, covariances, strict=True)
        )
        for w, c, u in zip(matrix, covariances, units, strict=True):
            if (u < 0).all():
                continue
            numbers, sizes = np.unique(u[u >= 0], return_counts=True)
            by_size = []
            for size in np.unique(sizes):
                chosen = numbers[sizes == size]
                by_size.append((chosen, np.stack([np.flatnonzero(u == n) for n in chosen])))
            yield _Reader(_inverse(c), w.copy(), by_size, max(scale, 1e-30), np.zeros(len(c), bool))


def _inverse(covariance: Floats) -> Floats:
    """Inverse of a damped covariance, by Cholesky where rounding allows it."""
    damped = covariance.copy()
    damped[np.diag_indices_from(damped)] += max(DAMPING * float(np.trace(damped)) / len(damped), 1e-12)
    factor, failed = scipy.linalg.lapack.dpotrf(damped, lower=1)
    if failed:
        return np.asarray(np.linalg.inv(damped), np.float64)
    del damped
    half, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    # The upper half is not written; rows of the transpose are contiguous.
    for k in range(len(half)):
        half[k, k + 1 :] = half[k + 1 :, k]
    return np.asarray(half.T, np.float64)


def _subtract_product(matrix: Floats, left: Floats, right: Floats) -> None:
    """`matrix -= left @ right` without a third matrix of that size; `matrix` in rows."""
    scipy.linalg.blas.dgemm(-1.0, right.T, left.T, 1.0, matrix.T, overwrite_c=1)


def _eliminate(readers: list[_Reader], count: int) -> Floats:
    scores = np.zeros(count)
    alive = np.ones(count, bool)
    step = max(1, -(-count // _STEPS))
    worst = 0.0
    while alive.sum() > 1:
        costs = np.sum([r.costs(count) for r in readers], axis=0)
        left = np.flatnonzero(alive)
        number = min(step, len(left) - 1)
        gone = left[np.argpartition(costs[left], number - 1)[:number]]
        going = np.zeros(count, bool)
        going[gone] = True
        error = sum(r.remove(going) for r in readers)
        share = costs[gone] + 1e-30
        parts = np.maximum(error * share / share.sum(), worst)
        scores[gone] = parts
        worst = float(parts.max()) if number == 1 else max(worst, float(np.median(parts)))
        alive[gone] = False
    scores[alive] = max(worst, float(sum(r.costs(count)[alive].sum() for r in readers)))
    return scores
