"""Local search: slots change places as long as the readers of a group lose less for it.

With H the damped second moment of what a reader gets, W its weight, G = W H, and K the columns that stay,
refitting leaves the loss `tr(W H W^T) - tr(G_K [H_KK]^-1 G_K^T)`. In each round the slots whose removal
costs least go,

    cost of S in K      tr(V_S ([P]_SS)^-1 V_S^T),  P = [H_KK]^-1, V = G_K P

and as many of those that have gone come back, where that gains most,

    gain of S not in K  tr(D_S C^-1 D_S^T),  D_S = G_S - V H_KS, C = H_SS - H_SK P H_KS

until the loss, as a share of tr(W H W^T) summed over readers, does not fall any more; then by half as many
slots at a time. Source: Meng et al., "OSSCAR", ICML 2024. Every group loses the same share, as there. Groups
that keep other slots for each outer one swap within these. A group that nothing known reads keeps the slots
of highest score. The number of rounds is bounded by the size of the matrices.
"""

from __future__ import annotations

import numpy as np

from graphprune.dims import Keeps, Slots
from graphprune.passes import Settling
from graphprune_passes.criteria.obs import DAMPING
from graphprune_passes.criteria.obs_kin import unit_blocks
from graphprune_passes.criteria.units import Floats, Reader, readers

Bools = np.ndarray

ROUNDS = 30
WORK = 2e11  # multiply-adds for the inverses of a group
SHARE = 0.1  # of the slots that have gone are swapped at a time, first


def settle(settling: Settling) -> Keeps:
    """The slots that stay when no swap helps any more."""
    found = dict(settling.best(settling.counts))
    for group, operators in readers(settling.problem.scoring):
        blocks = [r for blocks in operators for r in blocks]
        if group.atom not in found or not blocks:
            continue
        slots = found[group.atom]
        mask = slots.mask(group.size)
        better = improved(blocks, mask.reshape(-1, group.size)).reshape(mask.shape)
        index = np.flatnonzero(better.reshape(-1)) % group.size
        found[group.atom] = Slots(index.reshape(slots.index.shape).astype(np.int64), slots.outer)
    return found


def improved(blocks: list[Reader], kept: Bools) -> Bools:
    """Which slots stay, as many in each row; `kept` is `(rows, size)`."""
    group = _Group(blocks, kept.size)
    affordable = int(WORK / sum(float(len(r.units)) ** 3 for r in blocks))
    loss, costs, _ = group.look(kept)
    number = max(1, round(SHARE * int((~kept[0]).sum())))
    for _ in range(min(ROUNDS, max(1, affordable // 2))):
        number = min(number, int(kept[0].sum()) - 1, int((~kept[0]).sum()))
        if number < 1:
            break
        smaller = _switched(kept, np.where(kept, costs.reshape(kept.shape), np.inf), number)
        _, _, gains = group.look(smaller)
        trial = _switched(smaller, np.where(smaller, np.inf, -gains.reshape(kept.shape)), number)
        if (trial == kept).all():
            number //= 2
            continue
        found, after, _ = group.look(trial)
        if found < loss * (1 - 1e-9):
            kept, loss, costs = trial, found, after
        else:
            number //= 2
    return kept


def _switched(kept: Bools, order: Floats, number: int) -> Bools:
    """The lowest few of each row turned over."""
    changed = kept.copy()
    lowest = np.argsort(order, axis=1, kind="stable")[:, :number]
    np.put_along_axis(changed, lowest, ~np.take_along_axis(kept, lowest, axis=1), axis=1)
    return changed


class _Group:
    """The readers of a group, and what they lose."""

    def __init__(self, blocks: list[Reader], count: int) -> None:
        self.count = count
        self.blocks = []
        for reader in blocks:
            second = reader.moments.second
            ridge = max(DAMPING * float(np.trace(second)) / len(second), 1e-12)
            damped = second + ridge * np.eye(len(second))
            target = reader.weight @ damped
            whole = max(float(np.sum(target * reader.weight)), 1e-30)
            self.blocks.append((reader, damped, target, whole))

    def look(self, kept: Bools) -> tuple[float, Floats, Floats]:
        """The loss, what it costs to remove each unit, and what it gains to bring it back."""
        loss, costs, gains = 0.0, np.zeros(self.count), np.zeros(self.count)
        alive = kept.reshape(-1)
        for reader, damped, target, whole in self.blocks:
            here = (reader.units < 0) | alive[reader.units]
            inverse = np.asarray(np.linalg.inv(damped[np.ix_(here, here)]), np.float64)
            refitted = target[:, here] @ inverse
            loss += (whole - float(np.sum(refitted * target[:, here]))) / whole
            inside = np.where(here, reader.units, -1)[here]
            costs += _traces(inside, refitted, inverse, self.count) / whole
            if not here.all():
                across = damped[np.ix_(here, ~here)]
                missing = target[:, ~here] - refitted @ across
                rest = damped[np.ix_(~here, ~here)] - across.T @ inverse @ across
                gains += _traces(reader.units[~here], missing, rest, self.count) / whole
        return loss, costs, gains


def _traces(units: np.ndarray, rows: Floats, matrix: Floats, count: int) -> Floats:
    """`tr(R_S [A_SS]^-1 R_S^T)` for the columns S of each unit."""
    found = np.zeros(count)
    for numbers, columns in unit_blocks(units):
        blocks = matrix[columns[:, :, None], columns[:, None, :]]
        parts = rows[:, columns].transpose(1, 2, 0)
        found[numbers] = np.einsum("uij,uji->u", np.linalg.inv(blocks), parts @ parts.transpose(0, 2, 1))
    return np.maximum(found, 0)
