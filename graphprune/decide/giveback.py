"""Stairs, heads and layers are coarse: a cut goes past its target, and what need not have gone comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.decide.layers import is_layer
from graphprune.passes import Scores

_FEW = 16  # slots, such as heads, of which each is much of a network


def given_back(
    groups: tuple[Group, ...],
    counts: Mapping[int, int],
    steps: Mapping[int, int],
    scores: Scores,
    met: Callable[[Mapping[int, int]], bool],
) -> dict[int, int]:
    """Counts with one more step of a group wherever the targets still hold, most valuable first.

    What a coarse group has gone too far by is often too little for one of its steps, and enough for some of
    a fine one's. Without coarse groups a cut ends close to its target anyway.

    Args:
        groups: that are cut.
        counts: kept slots by atom.
        steps: multiples by atom.
        scores: of every slot.
        met: whether counts meet all targets.
    """
    found = dict(counts)
    if not any(steps[g.atom] > 1 or g.size <= _FEW or is_layer(g) for g in groups):
        return found
    open_groups = {g.atom: g for g in groups}
    worths = {g.atom: _worths(g, scores) for g in groups}
    while open_groups:
        atom = max(open_groups, key=lambda a: worths[a][found[a] : found[a] + steps[a]].sum())
        more = {**found, atom: min(open_groups[atom].size, found[atom] + steps[atom])}
        if more[atom] > found[atom] and met(more):
            found = more
        else:
            del open_groups[atom]
    return found


def _worths(group: Group, scores: Scores) -> NDArray[np.float64]:
    """The scores of the slots, the most valuable first: what keeping one more brings back."""
    best = -np.sort(-scores[group.atom], axis=-1).reshape(-1, group.size).sum(axis=0)
    return np.asarray(np.abs(best))
