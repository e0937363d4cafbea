"""How close the pruned model still is to the original, on inputs it was not tuned for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.validate.compare import Outputs, is_real
from graphprune.validate.scores import as_rows, class_axis, divergence, expected_drop, top_agreement

Floats = NDArray[np.float64]
Pairs = Sequence[tuple[Floats, Floats]]

_MANY = 32  # rows, of which some should differ in class
_FAR = 0.5  # of the outputs' own size: beyond that, made-up inputs have not held the network together


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Agreement of one output with the original.

    Attributes:
        output: name.
        relative_error: root mean square of the difference over that of the original.
        cosine: of the two outputs as vectors.
        top1: share of rows with the same largest entry, where the output looks like class scores.
        top5: share of rows whose largest entry before is among the five largest after, if there are more.
        sqnr_db: signal to noise in decibels, the difference being the noise; None where there is none.
        kl: mean divergence of the class probabilities in nats, where the output looks like class scores.
        drop: the loss of accuracy that this should cost, a share, where the output looks like class scores.
        alike: the original gives every one of many rows the same class, so that `top1` says little.
    """

    output: str
    relative_error: float
    cosine: float
    top1: float | None
    top5: float | None = None
    sqnr_db: float | None = None
    kl: float | None = None
    drop: float | None = None
    alike: bool = False


def measure_fidelity(before: Sequence[Outputs], after: Sequence[Outputs]) -> tuple[Fidelity, ...]:
    """Compare outputs of the original and the pruned model, one entry for each real-valued output.

    Only what is finite in the original is compared: an output that is nowhere finite has no entry. What is
    no number any more in the pruned model counts as zero.
    """
    found: list[Fidelity] = []
    for name, first in before[0].items() if before else ():
        if not is_real(first) or any(name not in a for a in after):
            continue
        pairs = [
            (b[name].astype(np.float64), a[name].astype(np.float64))
            for b, a in zip(before, after, strict=True)
        ]
        if all(x.shape == y.shape for x, y in pairs) and any(np.isfinite(x).any() for x, _ in pairs):
            found.append(_fidelity(name, [(x, _numbers(y, x)) for x, y in pairs]))
    return tuple(found)


def doubts(found: Sequence[Fidelity], judged_on: str, made_up: bool) -> Iterator[str]:
    """What agreement should not be trusted with, in words.

    Args:
        found: from `measure_fidelity`.
        judged_on: which inputs it was measured on.
        made_up: these, and those that the network was repaired on, are no real ones.
    """
    for f in found:
        if f.alike:
            yield (
                f'on {judged_on} the original gives every row of "{f.output}" the same class: '
                "that the result does too says little"
            )
    if made_up and found and (worst := max(found, key=lambda f: f.relative_error)).relative_error > _FAR:
        yield (
            f'even on {judged_on}, "{worst.output}" is off by {worst.relative_error:.0%} of its size: '
            "on real ones much may be lost; give some (--calib), or cut less"
        )


def _numbers(after: Floats, before: Floats) -> Floats:
    """Outputs of the pruned model with zeros for what was a number in the original and is none any more.

    Minus infinity stays: it is how scores say impossible.
    """
    return np.where(np.isfinite(before) & (np.isnan(after) | np.isposinf(after)), 0.0, after)


def _fidelity(name: str, pairs: Pairs) -> Fidelity:
    x = np.concatenate([p[0].ravel() for p in pairs])
    y = np.concatenate([p[1].ravel() for p in pairs])
    usable = np.isfinite(x) & np.isfinite(y)
    x, y = x[usable], y[usable]
    scale = float(np.linalg.norm(x))
    error = float(np.linalg.norm(x - y)) / scale if scale else 0.0
    cosine = float(x @ y / (scale * np.linalg.norm(y))) if scale and np.linalg.norm(y) else 1.0
    sqnr = -20 * math.log10(error) if error else None
    axis = class_axis(name, pairs[0][0])
    if axis is None or len({p[0].shape[axis] for p in pairs}) > 1:  # as many as inputs, say: no classes
        return Fidelity(name, error, cosine, None, sqnr_db=sqnr)
    rows, others = (np.concatenate([as_rows(p[k], axis) for p in pairs]) for k in (0, 1))
    if not np.isfinite(rows).all() or not np.isfinite(others).all():
        return Fidelity(name, error, cosine, top_agreement(rows, others, 1), sqnr_db=sqnr, alike=_alike(rows))
    return Fidelity(
        name,
        error,
        cosine,
        top_agreement(rows, others, 1),
        top_agreement(rows, others, 5) if rows.shape[1] > 5 else None,
        sqnr,
        divergence(rows, others),
        expected_drop(rows, others),
        _alike(rows),
    )


def _alike(rows: Floats) -> bool:
    return len(rows) >= _MANY and len(np.unique(rows.argmax(axis=1))) == 1
