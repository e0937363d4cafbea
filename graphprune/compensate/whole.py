"""Fits a repaired network as a whole to the outputs of the original: distillation without labels.

Fitting piece by piece treats every error in the middle alike, whatever the rest of the network makes of it.
Here all weights move together on what comes out at the end: knowledge distillation (Hinton et al., 2015) on
calibration inputs alone, from a start that is near already, for a bounded time. Inputs kept aside decide
which weights win, and whether any do. So that inputs are not learnt by heart, many more are read: mixtures of
two, or by a language model text of its own. Fitting for long on inputs that are always others is what brings
a network near (Beyer et al., CVPR 2022).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.calibrate.mixed import mixed
from graphprune.calibrate.pictures import spatial_axes
from graphprune.calibrate.sampled import passages, respoken
from graphprune.calibrate.speaker import Speaker, find_speaker
from graphprune.calibrate.synthetic import bounds
from graphprune.compensate.descent import RATE, Descent, Rows, descend
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.narrow import Narrow
from graphprune.compensate.stretch import Stretch, find_stretch
from graphprune.compensate.walk import Walk
from graphprune.passes import CompensationProblem, Repair

Array = NDArray[Any]
Feeds = Mapping[str, Array]

WORK = 500_000_000_000  # multiply-adds of all steps forwards, elements and turns of matrices counted in
MADE_UP_WORK = WORK // 3  # the same on made-up inputs, where more than STEPS are taken
SPOKEN_WORK = 4 * WORK  # the same for a language model, which does not run out of things to read
MEMORY = 1 << 28  # bytes of tensors that a batch makes forwards
HELD = 3 << 29  # bytes of what all batches read and should give
STEPS, FEWEST_STEPS, LONG, SPOKEN = 400, 100, 3000, 8000
MADE_UP = 1500  # instead of LONG on made-up inputs: what more of them bring, real ones hardly bear out
ROWS = 1024  # of the outputs in one step
SPOKEN_ROWS = ROWS // 2  # the same of a language model, which lacks steps
RATES = (RATE / 2, RATE / 8)  # tried in turn: a narrow network near its best is led away by large steps
SPOKEN_RATES = (RATE, RATE / 4)  # the same of a language model, which is taken further
LEAST_GAIN = 0.01  # of the loss; below it weights stay as they are
NEAR = 0.005  # loss at which few steps are enough
REST = NEAR / 2  # loss at which a fit comes to rest
PASSAGES = 2048  # sequences of a language model's own text that are read
RESPOKEN = 2  # times that a language model's text is read with words of its own
_FEWEST_BATCHES = 4


@dataclass(frozen=True, slots=True)
class _Plan:
    """How long to fit, and on how much at a time.

    Attributes:
        steps: where the network is near already.
        long: where it is not.
        spoken: of a language model where it is not.
        samples: of a batch.
        together: batches of a step.
        most: batches that can be held.
    """

    steps: int
    long: int
    spoken: int
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
        given = list(itertools.islice(self._batches(self.problem.batches, plan), plan.most))
        if len(given) < max(_FEWEST_BATCHES, plan.together):
            return Repair()
        real = self._rows(given)
        if not real:
            return Repair()
        steps = self._steps(real, plan)
        most = max(0, min(plan.most - len(given), steps * plan.together))
        ways = self._ways(most)
        for k, (more, rates) in enumerate(ways, 1):
            extra = list(itertools.islice(self._batches(more, plan), most))
            found = self._fitted(real, extra, rates, steps, plan.together, k == len(ways))
            if found:
                return Repair({n: self.narrow.restored(n, a) for n, a in found.items()})
        return Repair()

    def _steps(self, given: list[Rows], plan: _Plan) -> int:
        """How many to take from where the network is, on inputs that judge later too."""
        judge = given[-max(1, len(given) // 4) :]
        with self._descent(given) as descent:
            if not descent.fits(given, self.start) or descent.loss(judge, self.start)[0] <= NEAR:
                return plan.steps
        return plan.spoken if self._speaker else plan.long

    def _ways(self, most: int) -> list[tuple[Iterable[Feeds], Sequence[float]]]:
        """Inputs beside the given ones, and rates to try with them; others where these lead nowhere."""
        text = self._own_text(self._speaker) if most and self._speaker else ()
        if text:
            return [(text, SPOKEN_RATES)]
        found: list[tuple[Iterable[Feeds], Sequence[float]]] = [(self._mixed(varied=True), RATES)]
        if most and any(spatial_axes(a.shape) for a in self.problem.batches[0].values()):
            found.append((self._mixed(varied=False), RATES[-1:]))  # one with nothing to spare
        return found

    def _fitted(
        self,
        given: list[Rows],
        more: Sequence[Feeds],
        rates: Sequence[float],
        steps: int,
        together: int,
        final: bool,
    ) -> Mapping[str, Array]:
        """New weights; none where nothing is gained. What leads away is given up but on the final try."""
        aside = max(1, len(given) // (4 if more else 8))
        extra = self._rows(more) if more else []
        if len(extra) < len(more):
            return {}
        rows = [*extra, *given]
        with self._descent(rows) as descent:
            if not descent.fits(rows, self.start):
                return {}
            learn, judge = [*extra, *given[:-aside]], given[-aside:]
            at_once = min(together, len(learn))
            for rate in rates:
                random = np.random.default_rng((self.problem.seed, steps))
                given_up = not final or rate != rates[-1]
                found = descend(
                    descent,
                    self.start,
                    learn,
                    judge,
                    steps,
                    at_once,
                    random,
                    rate,
                    given_up,
                    REST,
                    self.problem.say,
                )
                if found.after < (1 - LEAST_GAIN) * found.before:
                    return found.weights
        return {}

    def _plan(self) -> _Plan | None:
        """What work and memory allow, from what a single sample costs; None if nothing can be fitted."""
        rows = self._rows(self._sliced(self.problem.batches[0], 1)[:1])
        if not rows or not self.start:
            return None
        with self._descent(rows) as descent:
            if not descent.fits(rows, self.start):
                return None
            work, size = descent.work(rows[0], self.start), descent.memory(rows[0], self.start)
            once = descent.step_work(self.start)
        if WORK // max(1, work + once) < FEWEST_STEPS:  # of one sample each
            return None
        height = max(_height(rows[0].targets[n], a) for n, a in self.stretch.ends.items())
        largest = max(map(self._samples, self.problem.batches))
        wanted = max(1, min((SPOKEN_ROWS if self._speaker else ROWS) // height, largest))
        samples = max(1, min(wanted, MEMORY // max(1, size)))
        together = -(-wanted // samples)
        held = rows[0].nbytes
        step = max(1, work * samples * together + once)
        steps = min(STEPS, WORK // step)
        longest, allowed = (LONG, WORK) if self.problem.lifelike else (MADE_UP, MADE_UP_WORK)
        long = max(steps, min(longest, allowed // step))
        spoken = min(SPOKEN, SPOKEN_WORK // step)
        return _Plan(steps, long, spoken, samples, together, HELD // max(1, held * samples))

    def _samples(self, feeds: Feeds) -> int:
        """How many samples a batch can be taken apart into."""
        sizes = {a.shape[0] if a.ndim else 0 for a in feeds.values()}
        recording = self.problem.analysis.recording
        free = all(any(recording.dynamic(n)[:1]) for n in feeds)
        return max(1, sizes.pop()) if len(sizes) == 1 and free else 1

    def _batches(self, given: Iterable[Feeds], plan: _Plan) -> Iterator[Feeds]:
        return (b for feeds in given for b in self._sliced(feeds, plan.samples))

    @functools.cached_property
    def _tables(self) -> Mapping[str, int]:
        """Rows of the tables that inputs index."""
        return bounds(self.problem.model, dict(self.problem.analysis.recording.sizes))

    @functools.cached_property
    def _speaker(self) -> Speaker | None:
        """What this is as a language model."""
        return find_speaker(self.problem.model, self.problem.batches[0], self._tables)

    def _own_text(self, speaker: Speaker) -> Sequence[Feeds]:
        """Text of a language model's own: passages, and the inputs with words replaced."""
        given = speaker, self.problem.batches, self.problem.seed
        return (*passages(*given, PASSAGES), *respoken(*given, RESPOKEN))

    def _mixed(self, varied: bool) -> Iterator[Feeds]:
        return mixed(self.problem.batches, self._tables, self.problem.seed, varied)

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
