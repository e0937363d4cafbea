"""The kept slots read from two files: pruning moves weights and leaves their values alone.

Nearly every number of a trained weight occurs only once in it, so each number of the pruned weight tells
which element of the original it is, and the expressions of the axes tell which slots that element belongs to.
A wrong reading cannot do harm: what is found is only taken if cutting the original by it gives the pruned
weights, number by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group, Weight
from graphprune.dims import Keeps, Slots, slots_of
from graphprune.dims.evaluate import cut, kept_size
from graphprune.verification.twins import Twins


def recover_keeps(analysis: Analysis, twins: Twins) -> tuple[Keeps, str]:
    """Kept slots by atom, and why they cannot be told (then there are none) or "".

    Args:
        analysis: of the original.
        twins: the pruned model's values of its weights.
    """
    groups = {g.atom: g for g in analysis.groups if not g.frozen}
    seen = {
        a: np.zeros((*(analysis.atom_sizes[o] for o in g.outer), g.size), bool) for a, g in groups.items()
    }
    changed: list[str] = []
    for weight in _cuttable(analysis, groups):
        if weight.name not in twins:
            return {}, f'the pruned model has nothing that corresponds to the weight "{weight.name}"'
        if weight.real and not _mark(weight, analysis, twins[weight.name], groups, seen):
            changed.append(weight.name)
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return {}, (
            f'the original has no such values as "{changed[0]}"{more}: repaired, or trained since pruning'
        )
    keeps: dict[int, Slots] = {}
    for atom, mask in seen.items():
        counts = set(mask.sum(axis=-1).ravel().tolist()) - {0}
        if len(counts) != 1:
            return {}, f'which slots of "{groups[atom].key}" are left cannot be told from the values'
        if counts != {groups[atom].size}:
            # A slot of an outer atom that is gone shows nothing, and may keep anything.
            index = np.argsort(~mask, axis=-1, kind="stable")[..., : counts.pop()]
            keeps[atom] = Slots(np.sort(index, axis=-1), groups[atom].outer)
    return _confirmed(analysis, groups, keeps, twins)


def _cuttable(analysis: Analysis, groups: dict[int, Group]) -> list[Weight]:
    return [
        w
        for w in analysis.weights.values()
        if w.made is None and w.real and any(a in groups for d in w.dims for a in d.atoms)
    ]


def _mark(
    weight: Weight,
    analysis: Analysis,
    pruned: NDArray[Any],
    groups: dict[int, Group],
    seen: dict[int, NDArray[np.bool_]],
) -> bool:
    """Note the slots whose elements are left; False if a number is none of the original's."""
    values, first, count = np.unique(
        analysis.facts.weights[weight.name].numpy(), return_index=True, return_counts=True
    )
    wanted = np.unique(pruned)
    place = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    if (values[place] != wanted).any():
        return False
    alone = first[place[count[place] == 1]]
    where = np.unravel_index(alone, weight.shape)
    slots = {a: _along(weight, a, where) for a in {a for d in weight.dims for a in d.atoms}}
    for atom in slots.keys() & groups.keys():
        outer = groups[atom].outer
        if all(o in slots for o in outer):
            index = np.stack([*(slots[o] for o in outer), slots[atom]])
            seen[atom][tuple(index[:, (index >= 0).all(axis=0)])] = True
    return True


def _along(weight: Weight, atom: int, where: tuple[NDArray[np.intp], ...]) -> NDArray[np.int64]:
    """The slot of an atom that each element belongs to, or -1."""
    found = np.full(len(where[0]) if where else 0, -1, np.int64)
    for axis, dim in enumerate(weight.dims):
        if atom in dim.atoms:
            found = np.maximum(found, slots_of(dim, atom)[where[axis]])
    return found


def _confirmed(analysis: Analysis, groups: dict[int, Group], keeps: Keeps, twins: Twins) -> tuple[Keeps, str]:
    for weight in _cuttable(analysis, groups):
        found = twins[weight.name]
        if tuple(kept_size(d, keeps) for d in weight.dims) == found.shape:
            expected = cut(analysis.facts.weights[weight.name].numpy(), weight.dims, keeps)
            if np.array_equal(expected, found):
                continue
        return {}, f'the weight "{weight.name}" of the pruned model is no cut of the original\'s'
    return keeps, ""
