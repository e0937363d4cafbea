"""Normalisers: make the scores of different groups comparable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import CostModel
from graphprune.passes import Scores, ScoringProblem
from graphprune_passes.normalisers.sensitivity import normalise as sensitivity

Floats = NDArray[np.float64]
_TINY = np.finfo(np.float64).tiny


def none(problem: ScoringProblem, scores: Scores) -> Scores:
    """The scores as they are."""
    return scores


def _each(change: Callable[[Floats], Floats]) -> Callable[[ScoringProblem, Scores], Scores]:
    def normalise(problem: ScoringProblem, scores: Scores) -> Scores:
        return {atom: np.asarray(change(s), np.float64) for atom, s in scores.items()}

    normalise.__doc__ = change.__doc__
    return normalise


def _sum(s: Floats) -> Floats:
    """Divide by the sum of the group."""
    return np.asarray(s / max(float(np.abs(s).sum()), _TINY))


def _mean(s: Floats) -> Floats:
    """Divide by the mean of the group."""
    return np.asarray(s / max(float(np.abs(s).mean()), _TINY))


def _max(s: Floats) -> Floats:
    """Divide by the largest of the group."""
    return np.asarray(s / max(float(np.abs(s).max()), _TINY))


def _minmax(s: Floats) -> Floats:
    """Stretch to [0, 1]."""
    return np.asarray((s - s.min()) / max(float(s.max() - s.min()), _TINY))


def _zscore(s: Floats) -> Floats:
    """Subtract the mean, divide by the standard deviation (FLAP)."""
    return np.asarray((s - s.mean()) / max(float(s.std()), _TINY))


def _quantile(s: Floats) -> Floats:
    """Divide by the median."""
    return np.asarray(s / max(float(np.median(np.abs(s))), _TINY))


def _lamp(s: Floats) -> Floats:
    """Divide every score by the sum of those that are not smaller (LAMP, Lee et al., ICLR 2021)."""
    order = np.argsort(s, axis=-1, kind="stable")
    ordered = np.take_along_axis(s, order, axis=-1)
    rest = np.flip(np.cumsum(np.flip(ordered, -1), axis=-1), -1)
    found = np.empty_like(s)
    np.put_along_axis(found, order, ordered / np.maximum(rest, _TINY), axis=-1)
    return found


def _rank(s: Floats) -> Floats:
    """The rank within the group, from 0 to 1."""
    ranks = np.argsort(np.argsort(s, axis=-1, kind="stable"), axis=-1)
    return np.asarray(ranks / max(1, s.shape[-1] - 1))


def _zscore_sigmoid(s: Floats) -> Floats:
    """The logistic function of the z-score (GAPrune)."""
    return np.asarray(1 / (1 + np.exp(-_zscore(s))))


total, mean, largest, minmax, zscore, quantile, lamp, rank, zscore_sigmoid = (
    _each(f) for f in (_sum, _mean, _max, _minmax, _zscore, _quantile, _lamp, _rank, _zscore_sigmoid)
)


def per_cost(problem: ScoringProblem, scores: Scores) -> Scores:
    """Divide by what a slot costs, in multiply-adds and parameters (FLAP, for structures of any kind)."""
    costs = CostModel(problem.analysis)
    whole = costs.cost()
    counts = {g.atom: g.size for g in problem.groups}
    found = {}
    for group in problem.groups:
        saved = costs.saving(group.atom, 1, counts)
        share = saved.macs / max(1, whole.macs) + saved.params / max(1, whole.params)
        found[group.atom] = scores[group.atom] / max(share, 1e-12)
    return found


__all__ = [
    "lamp",
    "largest",
    "mean",
    "minmax",
    "none",
    "per_cost",
    "quantile",
    "rank",
    "sensitivity",
    "total",
    "zscore",
    "zscore_sigmoid",
]
