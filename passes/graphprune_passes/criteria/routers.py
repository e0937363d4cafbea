"""Experts that are chosen for the same inputs: similarity of the rows of the router.

Experts are joined to clusters, nearest first by complete linkage on the distances of their rows R_i. Where
two clusters join, the one survivor of each that lies further from the mean of the whole cluster goes, and
scores the distance at which they joined. So the best k experts are one for each of k clusters, and a
threshold on scores is STUN's threshold on distances: one ranking of all layers is its bisection on the
number of experts. Source: Lee et al., "STUN: Structured-Then-Unstructured Pruning for Scalable MoE
Pruning", 2024, its first stage without data. Adapted: no co-activation, so that nothing has to be run; the
survivor is chosen among the survivors of both parts, so that smaller choices are parts of larger ones; an
expert is kept as it is, also in few clusters. Groups without a router are scored by their squared weights.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import linkage

from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune_passes.criteria.mixtures import router_weights
from graphprune_passes.criteria.units import Floats, by_unit, by_weight, unit_numbers


def score(problem: ScoringProblem) -> MemberScores:
    """Distance at which each expert is given up for a similar one."""
    found = {}
    for group in problem.groups:
        rows = [
            by_unit(problem.weight_array(w.name), unit_numbers(w.dims, problem.analysis, group), group.size)
            for w in (router_weights(problem.analysis, group.atom) if group.kind == "experts" else ())
        ]
        found[group.atom] = (
            [MemberScore(given_up_at(np.concatenate(rows, axis=1)), "producer")]
            if rows
            else by_weight(problem, group)
        )
    return found


def given_up_at(rows: Floats) -> Floats:
    """For each of several points the distance at which it is given up for another; `(points, numbers)`."""
    count = len(rows)
    joins = linkage(rows, "complete")
    scores = np.zeros(count)
    members = {k: [k] for k in range(count)}
    survivor = {k: k for k in range(count)}
    apart = 1e-9 * max(float(joins[-1, 2]), 1e-30)  # joined at the same distance, but one after the other
    for step, (one, other, distance, _) in enumerate(joins):
        a, b = int(one), int(other)
        cluster = members[a] + members[b]
        mean = rows[cluster].mean(axis=0)
        stays, goes = sorted((survivor[a], survivor[b]), key=lambda k: (np.linalg.norm(rows[k] - mean), k))
        scores[goes] = distance + apart * step
        members[count + step], survivor[count + step] = cluster, stays
    scores[survivor[count + len(joins) - 1]] = scores.max() + apart
    return scores
