"""Scale of batch normalisation: a channel that is scaled by next to nothing says next to nothing.

The score is |gamma| of every BatchNormalization the slots go through. Source: Liu et al., "Network
Slimming", ICCV 2017, which trains with an L1 penalty on gamma first; without that the ranking is weaker.
Adapted: a group without batch normalisation is scored by the root mean square of the rows that make its
slots, which is where exporters leave gamma when they fold the normalisation into the convolution.
"""

from __future__ import annotations

import numpy as np

from graphprune.analysis import Group
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune_passes.criteria.units import count_of, producers, unit_numbers


def score(problem: ScoringProblem) -> MemberScores:
    """Size of the scale of each slot in every batch normalisation."""
    gammas = {
        n.inputs[1] for n in problem.analysis.facts.all_nodes if n.op == "BatchNormalization" and not n.domain
    }
    return {g.atom: _scales(problem, g, gammas) or _rows(problem, g) for g in problem.groups}


def _scales(problem: ScoringProblem, group: Group, gammas: set[str]) -> list[MemberScore]:
    found = []
    for name in dict.fromkeys(m.weight for m in group.members if m.weight in gammas):
        units = unit_numbers(problem.analysis.weights[name].dims, problem.analysis, group)
        sizes = np.bincount(units[units >= 0], minlength=count_of(problem, group))
        size = np.abs(problem.weight_array(name))[units >= 0]
        total = np.bincount(units[units >= 0], size, count_of(problem, group))
        mean = (total / np.maximum(sizes, 1)).reshape(problem.shape_of(group))
        found.append(MemberScore(mean, "parameter"))
    return found


def _rows(problem: ScoringProblem, group: Group) -> list[MemberScore]:
    shape = problem.shape_of(group)
    return [
        MemberScore(np.sqrt(np.square(rows).mean(axis=1)).reshape(shape), "producer")
        for _, rows in producers(problem, group)
    ]
