"""What the outputs lose at widths of one's choice, measured; shared by the allocations that search.

Slots of least score go, the readers are refitted on the moments of the original, and the network runs on
inputs that nothing was fitted to. Fits are remembered by level, as in the databases of DarwinLM and ZipLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from graphprune.compensate.trial import Trials, one_shot
from graphprune.dims import Keeps
from graphprune.passes import Settling
from graphprune.rewrite.masking import masked_weights
from graphprune.statistics import Linear, unit_columns

Array = NDArray[Any]

WORK = 4e12  # multiply-adds of all trials
STORED = 1 << 30  # bytes of refitted weights


class Fitness:
    """What the outputs lose at widths of one's choice."""

    def __init__(self, settling: Settling) -> None:
        problem = settling.problem
        self._settling, self._statistics = settling, problem.scoring.statistics
        self._analysis = problem.scoring.analysis
        self._readers = [
            i
            for i in self._statistics.linear
            if any(unit_columns(i, self._analysis, g) is not None for g in problem.groups)
        ]
        batches = self._statistics.trials
        self._few, self._all = batches[:1], batches[:4]
        samples = sum(len(next(iter(b.values()))) for b in self._all)
        self.affordable = int(WORK / max(1, problem.costs.whole.macs * samples))  # trials on all inputs
        self._trials = {
            few: Trials(self._statistics.model, self._analysis, b)
            for few, b in ((True, self._few), (False, self._all))
        }
        self._losses: dict[tuple[bool, tuple[int, ...]], float] = {}
        self._fits: dict[Any, dict[str, Array]] = {}
        self._stored = 0

    def loss(self, counts: Mapping[int, int], few: bool = False) -> float:
        """Squared error of the outputs, as a share of their variance; on a few inputs or on more."""
        few = few and len(self._few) < len(self._all)
        key = few, tuple(counts.values())
        if key not in self._losses:
            weights = self._refitted(self._settling.best(counts))
            self._losses[key] = self._trials[few].loss(weights)
        return self._losses[key]

    def close(self) -> None:
        """Forget the activations and the fits."""
        for trials in self._trials.values():
            trials.close()
        self._fits.clear()

    def _refitted(self, keeps: Keeps) -> dict[str, Array]:
        """Weights of the masked network with its readers refitted; fits are remembered by level."""
        found = masked_weights(self._analysis, keeps)
        for item in self._readers:
            found |= self._fit(item, keeps)
        return found

    def _fit(self, item: Linear, keeps: Keeps) -> dict[str, Array]:
        atoms = {a for d in self._analysis.weights[item.weight].dims for a in d.atoms}
        mine = {a: s for a, s in keeps.items() if a in atoms}
        if not mine:
            return {}
        key = item.node, item.weight, *((a, s.index.tobytes()) for a, s in mine.items())
        if key not in self._fits:
            if self._stored > STORED:
                self._fits.clear()
                self._stored = 0
            every = one_shot(self._statistics, mine, [item])
            names = {item.weight, *(u.bias for u in item.uses if u.bias)}
            self._fits[key] = {n: a for n, a in every.items() if n in names}
            self._stored += sum(a.nbytes for a in self._fits[key].values())
        return self._fits[key]
