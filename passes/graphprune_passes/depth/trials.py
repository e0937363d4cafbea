"""Runs the network without some layers, each of which leaves its mean behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import CostModel
from graphprune.compensate.trial import Outputs, Trials, one_shot
from graphprune.dims import Slots
from graphprune.passes import ScoringProblem

SAMPLES = (8, 64)  # of one run, as many as the work allows
WORK = 3e12  # multiply-adds of all runs


class Removals:
    """The outputs of a network, whole and without layers, on inputs that no moment was made of.

    Attributes:
        whole: outputs of the network as it is.
    """

    def __init__(self, problem: ScoringProblem, runs: int) -> None:
        """Choose inputs for so many runs."""
        self._statistics, analysis = problem.statistics, problem.analysis
        weights = {x.atom: x.weight for x in analysis.layers}
        self._ends = {
            g.atom: [i for i in self._statistics.linear if i.weight == weights[g.atom]]
            for g in problem.groups
        }
        macs = max(1, CostModel(analysis).cost().macs)
        batches = _first(problem, int(np.clip(WORK / (macs * max(1, runs)), *SAMPLES)))
        self._trials = Trials(self._statistics.model, analysis, batches)
        self.whole = self._trials.before

    def without(self, atoms: Iterable[int]) -> Outputs:
        """Outputs without the layers that these atoms stand for."""
        keeps = dict.fromkeys(atoms, Slots(np.zeros(0, np.int64)))
        ends = [i for a in keeps for i in self._ends[a]]
        return self._trials.after(one_shot(self._statistics, keeps, ends))

    def close(self) -> None:
        """Forget the activations."""
        self._trials.close()


def _first(problem: ScoringProblem, most: int) -> list[Mapping[str, NDArray[Any]]]:
    """The first inputs of those kept for trials; a batch is cut only where its size is free."""
    recording, found, seen = problem.analysis.recording, [], 0
    for feeds in problem.statistics.trials:
        sizes = {a.shape[0] if a.ndim else 0 for a in feeds.values()}
        free = len(sizes) == 1 and all(any(recording.dynamic(n)[:1]) for n in feeds)
        size = min(min(sizes), most - seen) if free else 1
        found.append({n: a[:size] for n, a in feeds.items()} if free else feeds)
        seen += size
        if seen >= most:
            break
    return found
