"""Fits what is left of each segment to what the whole segment gave in the original.

A linear refit can only mix what the kept neurons or heads give. Here the operators that feed them move as
well, each segment by itself, front to back, on what reaches it in the pruned network: the block
reconstruction of post-training quantisation (AdaRound, Nagel et al., ICML 2020; BRECQ, Li et al., ICLR 2021)
with what is pruned instead of what is rounded. No labels, no loss of the task, no gradient through the
network: the target of a segment is what the original gave at its end, and what the branch beside it has lost.

Everything runs at pruned widths, in the rewritten network; what was learnt goes back to original shapes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.compensate.descent import Descent, Rows, descend
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.narrow import Narrow
from graphprune.compensate.segments import Segment, find_segments
from graphprune.compensate.walk import Walk
from graphprune.passes import CompensationProblem, Repair, Repaired

Array = NDArray[Any]
Feeds = Mapping[str, Array]

WORK = 4e11  # multiply-adds of all steps forwards, elements counted in: about a minute on one core
STEPS, FEWEST_STEPS = 200, 40
ROWS = 1024  # of the target in one step, at least
HELD = 1 << 28  # bytes of what a segment reads and should give; of more, evenly spread batches
_FEWEST_BATCHES = 4
LEAST_GAIN = 0.01  # of the loss; below it weights stay as they are
_LEAST_BATCHES = 4


def reconstruct(problem: CompensationProblem, repaired: Repair) -> Repair:
    """Go on from a repair: fit every segment that has lost something.

    Args:
        problem: what was repaired.
        repaired: its new weights.

    Returns:
        New weights at their original shapes, and a line on each segment that was fitted.
    """
    if len(problem.batches) < _LEAST_BATCHES:
        return Repair()
    return _Reconstruction(problem, repaired).run()


class _Reconstruction:
    def __init__(self, problem: CompensationProblem, repaired: Repair) -> None:
        self.problem, self.keeps, self.dims = problem, problem.keeps, problem.analysis.dims
        self.narrow = Narrow(problem, repaired.weights)
        facts = self.narrow.facts
        self.segments = [s for s in map(self._known, find_segments(facts)) if s is not None]
        self.share = WORK / max(1, len(self.segments))
        self.segments = self._affordable()
        self.before, self.after = self._walks(problem.batches)
        self.random = np.random.default_rng(problem.seed)

    def _walks(self, batches: Sequence[Feeds]) -> tuple[Walk, Walk]:
        """Through the original and through the pruned network."""
        problem, held = self.problem, self.problem.budget // 6
        original = Walk(problem.model, problem.analysis.facts, batches, held)
        return original, self.narrow.walk(batches, held)

    def _affordable(self) -> list[Segment]:
        """The segments that get enough steps of a batch each; no others are run and held for nothing."""
        before, after = self._walks(self.problem.batches[:1])
        found = []
        with contextlib.closing(before), contextlib.closing(after):
            for segment in self.segments:
                before.advance([segment.result], {})
                after.advance(segment.inputs, {})
                target = self.narrow.cut(segment.result, before.get(segment.result, 0))
                row = Rows({n: after.get(n, 0) for n in segment.inputs}, {segment.result: target})
                if not np.isfinite(target).all():
                    continue  # the logarithm of a zero, say: nothing can come near
                start = {n: after.builder.weight(n) for n in segment.weights}
                likeness = {segment.result: Likeness.of_values([target])}
                with contextlib.closing(
                    Descent(after.builder, segment.nodes, row, start, likeness)
                ) as descent:
                    if self.share >= FEWEST_STEPS * descent.work(row, start):
                        found.append(segment)
        return found

    def _known(self, segment: Segment) -> Segment | None:
        """The segment with weights of the original only; None if it has lost nothing or is not comparable."""
        weights = self.problem.analysis.weights
        known = tuple(n for n in segment.weights if self.narrow.knows(n))
        axes = [d for n in known for d in weights[n].dims]
        beside = segment.beside if segment.beside in self.dims else ""
        if segment.result not in self.dims or not any(a in self.keeps for d in axes for a in d.atoms):
            return None
        tensors = (segment.result, beside) if beside else (segment.result,)
        axes += [d for n in tensors for d in self.dims[n]]
        if any(self.keeps[a].outer for d in axes for a in d.atoms if a in self.keeps):
            return None
        return dataclasses.replace(segment, weights=known, beside=beside)

    def run(self) -> Repair:
        learnt: dict[str, Array] = {}
        result = Repair()
        for number, segment in enumerate(self.segments):
            self.problem.say(number, len(self.segments))
            rows = self._rows(segment, number, learnt)
            if rows:
                self._fit(segment, rows, learnt, result)
        self.before.close()
        self.after.close()
        self.problem.say(len(self.segments), len(self.segments))
        result.weights = {n: self.narrow.restored(n, a) for n, a in learnt.items()}
        return result

    def _rows(self, segment: Segment, number: int, learnt: dict[str, Array]) -> list[Rows]:
        """What the segment reads now, and what it should give."""
        later = {n.name for s in self.segments[number:] for n in s.nodes}
        beside = segment.beside
        if beside and any(n.name in later for n in self.after.unmet([beside])):
            beside = ""  # not settled yet
        extra = [beside] if beside else []
        self.before.advance([segment.result, *extra], {})
        self.after.advance([*segment.inputs, *extra], learnt)
        rows: list[Rows] = []
        count = len(self.problem.batches)
        every = 1  # how many batches share one that is looked at
        for k in range(count):
            if k % every:
                continue
            target = self._cut(segment.result, k)
            if beside:
                lost = self._cut(beside, k), self.after.get(beside, k)
                if lost[0].shape != lost[1].shape or lost[0].shape != target.shape:
                    return []
                with np.errstate(invalid="ignore"):  # between infinities
                    target = target + (lost[0] - lost[1])
            if not np.isfinite(target).all():
                return []
            rows.append(Rows({n: self.after.get(n, k) for n in segment.inputs}, {segment.result: target}))
            if not k:
                every = max(1, min(count * rows[0].nbytes // HELD + 1, count // _FEWEST_BATCHES))
        return rows

    def _cut(self, name: str, batch: int) -> Array:
        return self.narrow.cut(name, self.before.get(name, batch))

    def _fit(self, segment: Segment, rows: list[Rows], learnt: dict[str, Array], result: Repair) -> None:
        builder = self.after.builder
        start = {n: learnt.get(n, builder.weight(n)) for n in segment.weights}
        aside = max(1, len(rows) // 8)
        learn, judge = rows[:-aside], rows[-aside:]
        likeness = {segment.result: Likeness.of_values([r.targets[segment.result] for r in rows])}
        with contextlib.closing(Descent(builder, segment.nodes, rows[0], start, likeness)) as descent:
            if not descent.fits(rows, start):
                return
            target = rows[0].targets[segment.result]
            height = max(1, target.size // max(1, target.shape[-1]))
            together = min(len(learn), math.ceil(ROWS / height))
            work = descent.work(rows[0], start) * together
            steps = min(STEPS, int(self.share / max(1, work)))
            if steps < FEWEST_STEPS:
                return
            found = descend(descent, start, learn, judge, steps, together, self.random)
        gained = found.after < (1 - LEAST_GAIN) * found.before
        if gained:
            learnt.update(found.weights)
        result.operators.append(
            Repaired(segment.last, 0, 0, 0, found.before, found.after if gained else found.before, 0.0)
        )
