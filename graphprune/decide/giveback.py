"""Stairs, heads and layers are coarse: a cut goes past its target, and what need not have gone comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

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

    Args:
        groups: that are cut.
        counts: kept slots by atom.
        steps: multiples by atom; groups of many steps end close to the target anyway.
        scores: of every slot.
        met: whether counts meet all targets.
    """
    found = dict(counts)
    open_groups = {g.atom: g for g in groups if steps[g.atom] > 1 or g.size <= _FEW or is_layer(g)}
    while open_groups:
        atom = max(open_groups, key=lambda a: _worth(open_groups[a], found[a], steps[a], scores))
        more = {**found, atom: min(open_groups[atom].size, found[atom] + steps[atom])}
        if more[atom] > found[atom] and met(more):
            found = more
        else:
            del open_groups[atom]
    return found


def _worth(group: Group, count: int, step: int, scores: Scores) -> float:
    """The score of the slots that the next step would bring back."""
    best = -np.sort(-scores[group.atom], axis=-1).reshape(-1, group.size).sum(axis=0)
    return float(np.abs(best[count : count + step]).sum())
