"""Reducers: what the members of a slot say, as one score (SPA's aggregation; Torch-Pruning's reduction)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.passes import MemberScore

Floats = NDArray[np.float64]


def _stack(members: Sequence[MemberScore]) -> Floats:
    return np.stack([m.values for m in members])


def total(members: Sequence[MemberScore]) -> Floats:
    """Sum over all members."""
    return np.asarray(_stack(members).sum(axis=0))


def mean(members: Sequence[MemberScore]) -> Floats:
    """Mean over all members."""
    return np.asarray(_stack(members).mean(axis=0))


def largest(members: Sequence[MemberScore]) -> Floats:
    """Largest over all members."""
    return np.asarray(_stack(members).max(axis=0))


def product(members: Sequence[MemberScore]) -> Floats:
    """Product over all members, as the exponential of a mean of logarithms so that nothing overflows."""
    return np.asarray(np.exp(np.log(np.maximum(_stack(members), 1e-300)).mean(axis=0)))


def root_sum_square(members: Sequence[MemberScore]) -> Floats:
    """Euclidean norm over all members."""
    return np.asarray(np.sqrt(np.square(_stack(members)).sum(axis=0)))


def first(members: Sequence[MemberScore]) -> Floats:
    """The first member, which is the weight that makes the slots."""
    return members[0].values


def consumers_only(members: Sequence[MemberScore]) -> Floats:
    """Sum over the weights that read the slots; over all where there is none."""
    return total([m for m in members if m.role == "consumer"] or members)


def producers_only(members: Sequence[MemberScore]) -> Floats:
    """Sum over the weights that make the slots; over all where there is none."""
    return total([m for m in members if m.role == "producer"] or members)


def rank_fusion(members: Sequence[MemberScore]) -> Floats:
    """Reciprocal ranks added up, so that scales do not matter (Cormack et al., SIGIR 2009; OBS-Diff)."""
    fused = np.zeros(members[0].values.shape)
    for member in members:
        ranks = np.argsort(np.argsort(-member.values, axis=-1, kind="stable"), axis=-1)
        fused += 1 / (60 + ranks)
    return fused
