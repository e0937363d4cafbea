"""Closed-form repair of a linear operator whose inputs have lost columns.

All of it minimises `E || y - (W' h + b) ||^2` over the kept columns of `h`, given moments. With `y = W h` of
the same rows this is the block form of Optimal Brain Surgeon (Hassibi and Stork, 1993; OBC, Frantar and
Alistarh, NeurIPS 2022) and, centred, that of OB2C; with `y` from the original network it also makes up for
what went wrong before (He et al., ICCV 2017; ThiNet, ICCV 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from graphprune.statistics.moments import Moments

Floats = NDArray[np.float64]

DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MOST_GROWTH = 10.0  # times the norm of the weights before


def refit(covariance: Floats, cross: Floats, start: Floats, damping: float) -> Floats:
    """Weights that minimise the error, pulled towards `start` where the data say little.

    Args:
        covariance: of the kept columns, `(columns, columns)`.
        cross: covariance of targets and kept columns, `(outputs, columns)`.
        start: weights to stay near, `(outputs, columns)`.
        damping: strength of the pull, as a share of each column's variance.

    Returns:
        `(outputs, columns)`.
    """
    scale = _scale(covariance)
    normal = covariance / np.outer(scale, scale)
    missing = (cross - start @ covariance) / scale
    step: Floats = solve_damped(normal, missing.T, damping).T / scale
    return start + step


def _scale(covariance: Floats) -> Floats:
    """Standard deviation of each column; dead ones count as typical."""
    variance = np.diag(covariance).copy()
    floor = max(float(variance.mean()) * 1e-8, 1e-30)
    variance[variance < floor] = max(float(variance.mean()), 1e-30)
    return np.asarray(np.sqrt(variance), np.float64)


def solve_damped(matrix: Floats, right: Floats, damping: float) -> Floats:
    """`(matrix + damping * mean diagonal * 1)^-1 right`; damping is tripled until Cholesky succeeds."""
    mean = max(float(np.trace(matrix)) / max(1, len(matrix)), 1e-30)
    for attempt in range(40):
        damped = matrix.copy()
        damped[np.diag_indices_from(damped)] += max(damping, 1e-10) * 3**attempt * mean
        try:
            factor = scipy.linalg.cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            continue
        found: Floats = scipy.linalg.cho_solve(factor, right, check_finite=False)
        if np.isfinite(found).all():
            return found
    return np.zeros_like(right)


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal equations of one operator: moments of its columns, with its targets, and of those."""

    matrix: Floats
    right: Floats
    squares: Floats

    @classmethod
    def of(cls, moments: Moments, centred: bool) -> Normal:
        """From moments; centred where a bias takes up the means."""
        if centred:
            return cls(moments.covariance, moments.cross, moments.variance_y)
        right = moments.cross + np.outer(moments.mean_y, moments.mean)
        return cls(moments.second, right, moments.variance_y + moments.mean_y**2)

    def error(self, weights: Floats) -> Floats:
        """Mean squared error of each output, with the best bias if centred, `(outputs,)`."""
        fitted = ((weights @ self.matrix) * weights).sum(axis=1)
        found: Floats = self.squares - 2 * (weights * self.right).sum(axis=1) + fitted
        return np.maximum(found, 0)


def rescale(normal: Normal, start: Floats, damping: float) -> Floats:
    """`start` with each column scaled so that the error is least (Kwon et al., NeurIPS 2022)."""
    matrix = (start.T @ start) * normal.matrix
    right = (start * normal.right).sum(axis=0)
    step = solve_damped(matrix, (right - matrix.sum(axis=1))[:, None], damping)[:, 0]
    factors = 1 + step
    return start * factors if np.abs(factors).max(initial=0) <= 10 else start


def fit(normal: Normal, start: Floats, damping: float, scale_only: bool = False) -> Floats:
    """Refit or rescale; a result that has exploded is damped more, and given up after that."""
    for attempt in range(6):
        strength = damping * 3**attempt
        found = (
            rescale(normal, start, strength)
            if scale_only
            else refit(normal.matrix, normal.right, start, strength)
        )
        if np.linalg.norm(found) <= MOST_GROWTH * max(float(np.linalg.norm(start)), 1e-12):
            return found
    return start


def fit_checked(
    folds: Sequence[Moments],
    start: Floats,
    *,
    centred: bool = True,
    scale_only: bool = False,
    dampings: Sequence[float] = DAMPINGS,
) -> tuple[Floats, float]:
    """Fit with the damping that does best on rows that were left out.

    Args:
        folds: two sets of moments from different samples.
        start: weights to stay near.
        centred: a bias takes up the means.
        scale_only: change columns by factors only.
        dampings: strengths to try.

    Returns:
        Weights from all rows, and the damping used; infinity if nothing beats `start`.
    """
    both = Normal.of(folds[0].merged(folds[1]), centred)
    if not folds[0].count or not folds[1].count:
        return fit(both, start, 1e-1, scale_only), 1e-1
    halves = [Normal.of(f, centred) for f in folds]
    pairs = ((halves[0], halves[1]), (halves[1], halves[0]))
    losses = [
        sum(float(judge.error(fit(learn, start, d, scale_only)).sum()) for learn, judge in pairs)
        for d in dampings
    ]
    still = sum(float(h.error(start).sum()) for h in halves)
    best = int(np.argmin(losses))
    if not np.isfinite(losses[best]) or losses[best] >= still:
        return start, float("inf")
    return fit(both, start, dampings[best], scale_only), dampings[best]


def shift_checked(folds: Sequence[Moments], weights: Floats) -> Floats:
    """The change of bias that makes up for what the means have lost under weights that stay as they are.

    Args:
        folds: two sets of moments from different samples.
        weights: `(outputs, columns)`.

    Returns:
        `(outputs,)`; zeros where either set would be better off without what the other one says.
    """
    lost = [f.mean_y - weights @ f.mean for f in folds if f.count]
    both = folds[0].merged(folds[1])
    if len(lost) == 2 and 2 * np.square(lost[0] - lost[1]).sum() > sum(np.square(g).sum() for g in lost):
        return np.zeros(len(weights))
    return np.asarray(both.mean_y - weights @ both.mean)
