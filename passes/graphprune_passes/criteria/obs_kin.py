"""Two relatives of the OBS score.

obs-second  units leave one after the other as in `obs`, with the second moment M instead of the
            covariance: for readers whose bias must stay (Hassibi and Stork, 1993; OBC; ZipLM; OBSPA)
obs-diag    the cost of removing each unit by itself, `tr(W_S ([M^-1]_SS)^-1 W_S^T)`, relative to
            `tr(W M W^T)`; one inverse for each reader, nothing is updated in between (the first round of
            OBS-Diff; our reading of the "matrix condition" of COMP, which is not published)
"""

from __future__ import annotations

import numpy as np

from graphprune.passes import MemberScore, MemberScores, Scores, ScoringProblem
from graphprune_passes.criteria.obs import DAMPING, trace
from graphprune_passes.criteria.units import Floats, Ints, Reader, by_weight, count_of, readers


def second(problem: ScoringProblem) -> Scores:
    """Error that the removal of each unit adds, relative, with second moments."""
    return {g.atom: trace(problem, g, centred=False) for g in problem.counted(problem.groups)}


def diagonal(problem: ScoringProblem) -> MemberScores:
    """Relative cost of removing each unit by itself, in every reader."""
    found = {}
    for group, operators in readers(problem):
        count, shape = count_of(problem, group), problem.shape_of(group)
        found[group.atom] = [
            MemberScore(_relative(blocks, count).reshape(shape), "consumer") for blocks in operators if blocks
        ] or by_weight(problem, group)
    return found


def _relative(blocks: list[Reader], count: int) -> Floats:
    whole = sum(float(np.sum((r.weight @ r.moments.second) * r.weight)) for r in blocks)
    cost = np.sum([removal_costs(r, damped_inverse(r.moments.second), count) for r in blocks], axis=0)
    return np.asarray(cost / max(whole, 1e-30))


def damped_inverse(second: Floats, damping: float = DAMPING) -> Floats:
    """Inverse of a moment with a share of its mean diagonal added."""
    ridge = max(damping * float(np.trace(second)) / len(second), 1e-12)
    return np.asarray(np.linalg.inv(second + ridge * np.eye(len(second))), np.float64)


def removal_costs(reader: Reader, inverse: Floats, count: int) -> Floats:
    """`tr(W_S ([H^-1]_SS)^-1 W_S^T)` for the columns S of each unit."""
    found = np.zeros(count)
    for numbers, columns in unit_blocks(reader.units):
        blocks = inverse[columns[:, :, None], columns[:, None, :]]
        w = reader.weight[:, columns].transpose(1, 2, 0)  # units, size, outputs
        found[numbers] = np.einsum("uij,uji->u", np.linalg.inv(blocks), w @ w.transpose(0, 2, 1))
    return np.maximum(found, 0)


def unit_blocks(units: Ints) -> list[tuple[Ints, Ints]]:
    """For every number of columns a unit may have: the units, and their columns `(units, columns)`."""
    numbers, sizes = np.unique(units[units >= 0], return_counts=True)
    return [
        (chosen, np.stack([np.flatnonzero(units == n) for n in chosen]))
        for size in np.unique(sizes)
        for chosen in [numbers[sizes == size]]
    ]
