"""How far a layer turns the stream it is added to.

Block influence is 1 - cos(x, x + f(x)), the mean over samples and positions, where x is the stream and f(x)
what the layer adds. Source: Men et al., ShortGPT, 2024. There f is a whole block; here attention and
perceptron count by themselves, and a layer that ends in several places gives the mean over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.layers import End
from graphprune.passes import Scores, ScoringProblem

SAMPLES = 256


def score(problem: ScoringProblem) -> Scores:
    """Block influence of each layer."""
    layers = {x.atom: x for x in problem.analysis.layers}
    ends = {g.atom: layers[g.atom].ends for g in problem.groups}
    names = list(dict.fromkeys(n for found in ends.values() for e in found for n in (e.stream, e.branch)))
    sums = {e: np.zeros(2) for found in ends.values() for e in found}
    seen = 0
    batches = problem.statistics.batches
    for number, found in enumerate(problem.statistics.tensors(names)):
        problem.say(number, len(batches))
        for end, total in sums.items():
            cosines = _cosines(found[end.stream], found[end.branch], end)
            total += (float(cosines.sum()), len(cosines))
        seen += max((len(a) for a in found.values() if a.ndim), default=1)
        if seen >= SAMPLES:
            break
    means = {e: 1 - s / max(1.0, count) for e, (s, count) in sums.items()}
    return {a: np.array([max(0.0, float(np.mean([means[e] for e in own])))]) for a, own in ends.items()}


def _cosines(stream: NDArray[Any], branch: NDArray[Any], end: End) -> NDArray[np.float64]:
    """Cosines along the channels, the axis along which the branch varies when it is constant."""
    whole = stream.astype(np.float64) + branch
    axis = next(iter(end.varies)) if len(end.varies) == 1 else (1 if whole.ndim == 4 else -1)
    x, y = (np.moveaxis(a, axis, -1).reshape(-1, a.shape[axis]) for a in (stream.astype(np.float64), whole))
    sizes = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    good = sizes > 0
    return np.asarray(np.clip((x * y).sum(axis=1)[good] / sizes[good], -1, 1))
