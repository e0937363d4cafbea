"""Changes of basis before anything is cut: other weights for the same function, checked on the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.compensate.trial import Outputs, Trials
from graphprune.passes import ScoringProblem, find_pass
from graphprune.statistics import Statistics

TOLERANCE = 1e-4


def in_basis(statistics: Statistics, name: str, seed: int) -> tuple[Mapping[str, NDArray[Any]], str]:
    """The weights that a change of basis gives new values, and why there are none, or "".

    Args:
        statistics: of the model.
        name: of a pass of kind "basis".
        seed: of everything random.
    """
    groups = tuple(g for g in statistics.analysis.groups if not g.frozen)
    problem = ScoringProblem(statistics.analysis, groups, seed, statistics)
    weights: Mapping[str, NDArray[Any]] = find_pass("basis", name).run(problem)
    if not weights:
        return {}, f"nothing was found that a change of basis ({name}) can be made of"
    batches = statistics.batches[:1]
    trials = Trials(statistics.model, statistics.analysis, batches)
    error = largest_change(trials.before, trials.after(weights))
    trials.close()
    if not error <= TOLERANCE:
        return {}, f"the basis was left as it is: changing it ({name}) moves the outputs by {error:.1g}"
    return weights, ""


def largest_change(before: Outputs, after: Outputs) -> float:
    """Largest difference of an output over its largest magnitude."""
    found = 0.0
    for one, other in zip(before, after, strict=True):
        for name, array in one.items():
            if array.size and np.issubdtype(array.dtype, np.floating):
                a, b = array.astype(np.float64), other[name].astype(np.float64)
                found = max(found, float(np.abs(a - b).max() / max(float(np.abs(a).max()), 1e-12)))
    return found
