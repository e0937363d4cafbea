"""Fits a repaired network as a whole to the outputs of the original: distillation without labels.

Fitting piece by piece treats every error in the middle alike, whatever the rest of the network makes of it.
Here all weights move together on what comes out at the end: knowledge distillation (Hinton et al., 2015) on
calibration inputs alone, from a start that is near already, for a bounded time. Inputs kept aside decide
which weights win, and whether any do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.compensate.descent import RATE, Descent, Rows, descend
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.narrow import Narrow
from graphprune.compensate.stretch import Stretch, find_stretch
from graphprune.compensate.walk import Walk
from graphprune.passes import CompensationProblem, Repair

Array = NDArray[Any]
Feeds = Mapping[str, Array]

WORK = 400_000_000_000  # multiply-adds of all steps forwards, elements counted in
MEMORY = 1 << 28  # bytes of tensors that a batch makes forwards
HELD = 1 << 30  # bytes of what all batches read and should give
STEPS, FEWEST_STEPS = 400, 100
ROWS = 1024  # of the outputs in one step
RATES = (RATE, RATE / 4)  # tried in turn: a narrow network near its best is led away by large steps
LEAST_GAIN = 0.01  # of the loss; below it weights stay as they are
_FEWEST_BATCHES = 4


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many steps there are, the samples of a batch, batches of a step, and batches that can be held."""

    steps: int
    samples: int
    together: int
    most: int


def fit_whole(problem: CompensationProblem, repaired: Repair) -> Repair:
    """Go on from a repair: fit everything that gradients reach to the outputs.

    Args:
        problem: what was repaired.
        repaired: its new weights.

    Returns:
        New weights at their original shapes.
    """
    narrow = Narrow(problem, repaired.weights)
    stretch = find_stretch(narrow.facts)
    if stretch is None:
        return Repair()
    return _Whole(problem, narrow, stretch).run()


class _Whole:
    def __init__(self, problem: CompensationProblem, narrow: Narrow, stretch: Stretch) -> None:
        self.problem, self.narrow, self.stretch = problem, narrow, stretch
        self.builder = narrow.walk((), problem.budget).builder
        names = [n for n in stretch.weights if narrow.knows(n)]
        self.start = {n: self.builder.weight(n) for n in names}

    def run(self) -> Repair:
        plan = self._plan()
        if plan is None or plan.steps < FEWEST_STEPS:
            return Repair()
        batches = [b for feeds in self.problem.batches for b in self._sliced(feeds, plan.samples)][
            : plan.most
        ]
        aside = max(1, len(batches) // 8)
        if len(batches) < max(_FEWEST_BATCHES, plan.together):
            return Repair()
        rows = self._rows(batches)
        if not rows:
            return Repair()
        learn, judge = rows[:-aside], rows[-aside:]
        with self._descent(rows) as descent:
            if not all(descent.fits(r, self.start) for r in rows):
                return Repair()
            together = min(plan.together, len(learn))
            for rate in RATES:
                random = np.random.default_rng(self.problem.seed)
                found = descend(descent, self.start, learn, judge, plan.steps, together, random, rate)
                if found.after < (1 - LEAST_GAIN) * found.before:
                    return Repair({n: self.narrow.restored(n, a) for n, a in found.weights.items()})
        return Repair()

    def _plan(self) -> _Plan | None:
        """What work and memory allow, from what a single sample costs; None if nothing can be fitted."""
        rows = self._rows(self._sliced(self.problem.batches[0], 1)[:1])
        if not rows or not self.start:
            return None
        with self._descent(rows) as descent:
            if not descent.fits(rows[0], self.start):
                return None
            work, size = descent.work(rows[0], self.start), descent.memory(rows[0], self.start)
        height = max(_height(rows[0].targets[n], a) for n, a in self.stretch.ends.items())
        largest = max(map(self._samples, self.problem.batches))
        wanted = max(1, min(ROWS // height, largest))
        samples = max(1, min(wanted, MEMORY // max(1, size)))
        together = -(-wanted // samples)
        held = rows[0].nbytes
        steps = min(STEPS, WORK // max(1, work * samples * together))
        return _Plan(steps, samples, together, HELD // max(1, held * samples))

    def _samples(self, feeds: Feeds) -> int:
        """How many samples a batch can be taken apart into."""
        sizes = {a.shape[0] if a.ndim else 0 for a in feeds.values()}
        recording = self.problem.analysis.recording
        free = all(any(recording.dynamic(n)[:1]) for n in feeds)
        return max(1, sizes.pop()) if len(sizes) == 1 and free else 1

    def _sliced(self, feeds: Feeds, samples: int) -> list[Feeds]:
        size = self._samples(feeds)
        if size <= samples:
            return [feeds]
        return [{n: a[k : k + samples] for n, a in feeds.items()} for k in range(0, size, samples)]

    def _descent(self, rows: list[Rows]) -> contextlib.closing[Descent]:
        likeness = {
            n: Likeness.of_scores([r.targets[n] for r in rows], axis, n in self.stretch.scores)
            for n, axis in self.stretch.ends.items()
        }
        nodes = self.stretch.nodes
        return contextlib.closing(Descent(self.builder, nodes, rows[0], self.start, likeness))

    def _rows(self, batches: Sequence[Feeds]) -> list[Rows]:
        """What the stretch reads, and what it should give; nothing where it cannot give that."""
        problem, ends = self.problem, self.stretch.ends
        share = problem.budget // 4
        before = Walk(problem.model, problem.analysis.facts, batches, share)
        after = self.narrow.walk(batches, share)
        with contextlib.closing(before), contextlib.closing(after):
            before.advance(list(ends), {})
            after.advance(self.stretch.inputs, {})
            found = []
            for k in range(len(batches)):
                targets = {n: self.narrow.cut(n, before.get(n, k)) for n in ends}
                if not all(_usable(t) for t in targets.values()):
                    return []
                found.append(Rows({n: after.get(n, k) for n in self.stretch.inputs}, targets))
            return found


def _usable(target: Array) -> bool:
    return bool(target.dtype == np.float32 and target.size and np.isfinite(target).all())


def _height(array: Array, axis: int) -> int:
    """Rows of a tensor that are compared."""
    return array.size // max(1, array.shape[axis]) if array.ndim else 1
