"""How much the residual block around a group changes its input; shared by layer-wise allocations.

Our reading of "block": from an operator that reads the group the result is followed through additions of
constants and operators that change one element at a time, up to the Add that puts it back on the residual
stream. The other operand of that Add is the input of the block, its result the output. A group without
such an Add gets the mean of the others, so that it loses the average share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.passes import AllocationProblem
from graphprune.statistics import Linear, unit_columns
from graphprune_passes.allocations.last import Last

Floats = NDArray[np.float64]

SAMPLES = 128
_SAME = frozenset({"Dropout", "Identity", "Cast", "BatchNormalization", "Mul", "Reshape", "Transpose"})


class Cosines:
    """Mean cosine of the input and the output of each group's block, computed once for a problem."""

    def __init__(self) -> None:
        self._last = Last(_measured)

    def of(self, problem: AllocationProblem) -> Floats:
        """Mean cosine for each group."""
        return self._last.of(problem)[0]

    def angles(self, problem: AllocationProblem) -> Floats:
        """Mean angle, divided by pi, for each group."""
        return self._last.of(problem)[1]


def block_of(analysis: Analysis, linear: tuple[Linear, ...], group: Group) -> tuple[str, str] | None:
    """Names of the input and the output of a group's residual block."""
    readers: dict[str, list[str]] = {}
    nodes = {n.name: n for n in analysis.facts.nodes}
    for node in analysis.facts.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    for item in linear:
        if unit_columns(item, analysis, group) is None:
            continue
        name = item.output
        for _ in range(8):
            after = [nodes[r] for r in readers.get(name, ())]
            if len(after) != 1 or not after[0].outputs:
                break
            node = after[0]
            other = next((n for n in node.inputs if n and n != name), "")
            if node.op == "Add" and other not in analysis.facts.constant:
                return other, node.outputs[0]
            if node.op != "Add" and node.op not in _SAME:
                break
            name = node.outputs[0]
    return None


def _measured(problem: AllocationProblem) -> tuple[Floats, Floats]:
    statistics = problem.scoring.statistics
    blocks = [block_of(problem.scoring.analysis, statistics.linear, g) for g in problem.groups]
    names = [n for b in blocks if b for n in b]
    cosines: dict[tuple[str, str], list[Floats]] = {b: [] for b in blocks if b}
    seen = 0
    for found in statistics.tensors(names) if names else ():
        for before, after in cosines:
            x, y = found[before], found[after]
            if x.shape == y.shape:
                cosines[before, after].append(_cosine(x, y))
        seen += max((len(a) for a in found.values() if a.ndim), default=1)
        if seen >= SAMPLES:
            break
    means = [_mean(cosines[b], np.asarray) if b else None for b in blocks]
    angles = [_mean(cosines[b], lambda c: np.arccos(c) / np.pi) if b else None for b in blocks]
    return _filled(means), _filled(angles)


def _cosine(x: NDArray[np.generic], y: NDArray[np.generic]) -> Floats:
    """Cosines of the vectors along the channels: the last axis, or the second of feature maps."""
    axis = 1 if x.ndim == 4 else -1
    a = np.moveaxis(x, axis, -1).astype(np.float64).reshape(-1, x.shape[axis])
    b = np.moveaxis(y, axis, -1).astype(np.float64).reshape(-1, x.shape[axis])
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    good = sizes > 0
    return np.asarray(np.clip((a * b).sum(axis=1)[good] / sizes[good], -1, 1))


def _mean(parts: list[Floats], change) -> float | None:  # type: ignore[no-untyped-def]
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(np.mean(change(values))) if len(values) else None


def _filled(values: list[float | None]) -> Floats:
    known = [v for v in values if v is not None]
    typical = float(np.mean(known)) if known else 0.0
    return np.array([typical if v is None else v for v in values])
