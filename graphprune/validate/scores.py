"""Outputs that are scores of classes: which axis they lie along, and how two sets of them agree."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SCORES = re.compile(r"logit|prob|score|softmax|class|pred", re.IGNORECASE)
_NO_SCORES = re.compile(r"embed|feature|hidden|pool|state|latent|vector", re.IGNORECASE)
_TINY = 1e-12
_UNDECIDED = 0.9  # of the entropy of a guess


def class_axis(name: str, array: Array) -> int | None:
    """The axis of the classes, where an output looks like scores; None where it does not.

    Shares that add up to one are probabilities, whatever the output is called. Other numbers are scores if
    there is one row of several for each sample (unless the name speaks of features), or if the name says so:
    then they lie along the second axis of pictures and the last axis of anything else.
    """
    shares = [k for k in range(array.ndim - 1, 0, -1) if _are_shares(array, k)]
    if shares:
        return shares[0]
    if array.ndim < 2 or _NO_SCORES.search(name):
        return None
    axis = 1 if array.ndim == 4 else array.ndim - 1
    if array.shape[axis] < 2 or (array.ndim > 2 and not _SCORES.search(name)):
        return None
    return axis


def are_probabilities(rows: Array) -> bool:
    """Whether every row holds shares that add up to one."""
    return _are_shares(rows, 1)


def _are_shares(array: Array, axis: int) -> bool:
    if array.shape[axis] < 2 or not array.size or array.min() < -1e-6 or array.max() > 1 + 1e-3:
        return False
    return bool(np.allclose(array.sum(axis), 1, atol=1e-2))


def as_rows(array: Array, axis: int) -> Array:
    """One row of class scores after the other; shape `(rows, classes)`."""
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])


def top_agreement(before: Array, after: Array, k: int) -> float:
    """Share of rows whose largest entry before is among the `k` largest after.

    >>> top_agreement(np.array([[0.0, 2.0, 1.0]]), np.array([[0.0, 1.0, 2.0]]), 2)
    1.0
    """
    first = before.argmax(1)[:, None]
    if k == 1:
        return float((after.argmax(1)[:, None] == first).mean())
    best = np.argpartition(-after, k - 1, axis=1)[:, :k]
    return float((best == first).any(1).mean())


def divergence(before: Array, after: Array) -> float:
    """Mean Kullback-Leibler divergence of the rows, in nats: what is lost by taking `after` for `before`.

    Rows are probabilities if those before are, else logits.
    """
    if are_probabilities(before):
        p, q = (np.log(np.maximum(a, _TINY)) for a in (before, after))
    else:
        p, q = _log_softmax(before), _log_softmax(after)
    return max(0.0, float((np.exp(p) * (p - q)).sum(1).mean()))


def expected_drop(before: Array, after: Array) -> float | None:
    """The accuracy that choosing by `after` should cost, a share, found without labels.

    Where both choose the same class nothing is lost; where they differ, as much as the original believed more
    in its own choice. True as far as the probabilities of the original are (Garg et al., Leveraging Unlabeled
    Data to Predict Out-of-Distribution Performance, ICLR 2022, compare such estimates); None where it hardly
    prefers any class, as with scores that are no logits.

    >>> round(expected_drop(np.log([[0.6, 0.4], [0.99, 0.01]]), np.array([[0.0, 1.0], [1.0, 0.0]])), 3)
    0.1
    """
    p = before if are_probabilities(before) else np.exp(_log_softmax(before))
    entropy = -(p * np.log(np.maximum(p, _TINY))).sum(1).mean()
    if entropy > _UNDECIDED * np.log(p.shape[1]):
        return None
    rows = np.arange(len(p))
    return float((p[rows, before.argmax(1)] - p[rows, after.argmax(1)]).mean())


def _log_softmax(rows: Array) -> Array:
    shifted = rows - rows.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
