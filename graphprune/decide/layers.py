"""Whole layers in a decision: which they are, and how many a share removes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphprune.analysis import LAYERS, Analysis, Group
from graphprune.dims import Keeps, Slots
from graphprune.passes import Scores


def is_layer(group: Group) -> bool:
    """Whether a group is a whole layer: one slot, which may go."""
    return group.kind == LAYERS


def worst_layers(layers: Sequence[Group], scores: Scores, share: float) -> dict[int, int]:
    """Kept slots, by atom, when a share of the layers goes: those of least score, earlier ones last."""
    order = sorted(range(len(layers)), key=lambda k: (float(scores[layers[k].atom].sum()), -k))
    gone = set(order[: int(len(layers) * share + 1e-9)])
    return {g.atom: int(k not in gone) for k, g in enumerate(layers)}


def with_layers(analysis: Analysis, keeps: Keeps, counts: Mapping[int, int]) -> dict[int, Slots]:
    """Kept slots with nothing for the layers that go; what lives in those only is not cut any more."""
    removed = analysis.removed_layers(counts)
    inner = analysis.inner_groups(removed)
    found = {a: slots for a, slots in keeps.items() if a > 0 and a not in inner}
    return {**found, **{a: Slots(np.zeros(0, np.int64)) for a in sorted(removed, reverse=True)}}


def names_of(analysis: Analysis, layer: Group) -> frozenset[str]:
    """Names a user may mean a layer by: its nodes and weights."""
    return analysis.dead(frozenset({layer.atom})) | {layer.key}
