"""CHIP: how much a feature map adds to what the others say, by nuclear norms.

`CI_j = ||A||_* - ||A without map j||_*` for the maps A (channels by positions) of a sample, averaged over
samples. Source: Sui et al., "CHIP: CHannel Independence-based Pruning", NeurIPS 2021; 5 batches there.
Norms come from the eigenvalues of the smaller Gram matrix, on a few samples of each batch. Adapted: where
there are no positions, as in front of a Gemm, the samples of the batch take their place; heads lose all
their columns at once. A group whose readers' inputs have no axis of its own is scored by its squared
weights.
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune_passes.criteria.maps import Maps, by_sample, each_batch, tensors_read
from graphprune_passes.criteria.units import Floats, Ints, by_weight, count_of

BATCHES = 5
SAMPLES = 2  # of each batch


def score(problem: ScoringProblem) -> MemberScores:
    """Mean loss of nuclear norm without each slot, at every reader."""
    reads = tensors_read(problem)
    names = [name for places in reads.values() for name, _, _ in places]
    totals: dict[tuple[int, str], Floats] = {}
    for found in each_batch(problem, names, BATCHES):
        for group in problem.groups:
            for name, axis, units in reads[group.atom]:
                maps = by_sample(found[name], axis)
                if maps.shape[2] == 1:
                    maps = maps[:, :, 0].T[None]
                for sample in maps[:SAMPLES]:
                    lost = independence(sample, units, count_of(problem, group))
                    totals[group.atom, name] = totals.get((group.atom, name), 0) + lost
    return {
        g.atom: [
            MemberScore(totals[g.atom, name].reshape(problem.shape_of(g)), "consumer")
            for name, _, _ in reads[g.atom]
        ]
        or by_weight(problem, g)
        for g in problem.groups
    }


def independence(maps: Maps, units: Ints, count: int) -> Floats:
    """Loss of nuclear norm without each unit; `maps` is `(places, positions)`."""
    places = [np.flatnonzero(units == u) for u in range(count)]
    wide = maps.shape[0] > maps.shape[1]
    gram = maps.T @ maps if wide else maps @ maps.T
    whole = _nuclear(gram)
    found = np.zeros(count)
    for unit, rows in enumerate(places):
        rest = (
            gram - maps[rows].T @ maps[rows]
            if wide
            else np.delete(np.delete(gram, rows, axis=0), rows, axis=1)
        )
        found[unit] = whole - _nuclear(rest)
    return np.maximum(found, 0)


def _nuclear(gram: Floats) -> float:
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)).sum()) if len(gram) else 0.0
