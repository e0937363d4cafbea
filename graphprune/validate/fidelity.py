"""How close the pruned model still is to the original, on inputs it was not tuned for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphprune.validate.compare import Outputs, is_real


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Agreement of one output with the original.

    Attributes:
        output: name.
        relative_error: root mean square of the difference over that of the original.
        cosine: of the two outputs as vectors.
        top1: share of rows with the same largest entry, where the output looks like class scores.
    """

    output: str
    relative_error: float
    cosine: float
    top1: float | None


def measure_fidelity(before: Sequence[Outputs], after: Sequence[Outputs]) -> tuple[Fidelity, ...]:
    """Compare outputs of the original and the pruned model, one entry for each real-valued output."""
    found: list[Fidelity] = []
    for name, first in before[0].items() if before else ():
        if not is_real(first):
            continue
        pairs = [
            (b[name].astype(np.float64), a[name].astype(np.float64))
            for b, a in zip(before, after, strict=True)
        ]
        if any(x.shape != y.shape for x, y in pairs):
            continue
        x = np.concatenate([p[0].ravel() for p in pairs])
        y = np.concatenate([p[1].ravel() for p in pairs])
        usable = np.isfinite(x) & np.isfinite(y)
        x, y = x[usable], y[usable]
        scale = float(np.linalg.norm(x))
        error = float(np.linalg.norm(x - y)) / scale if scale else 0.0
        cosine = float(x @ y / (scale * np.linalg.norm(y))) if scale and np.linalg.norm(y) else 1.0
        top1 = None
        if first.ndim == 2 and first.shape[1] > 1:
            same = [(p.argmax(1) == q.argmax(1)) for p, q in pairs]
            top1 = float(np.concatenate(same).mean())
        found.append(Fidelity(name, error, cosine, top1))
    return tuple(found)
