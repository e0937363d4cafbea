"""Repairs the linear operators in the body of an If, Loop or Scan, which run as one node of the main graph.

A product with a state reads what the body itself has given before, so there is no order in which one operator
is settled when the next runs. The operators are fitted on what they read in the original first; then on what
they read once that is done, turn by turn in step with the original, as a recurrent network is taught on its
own states (DAgger: Ross et al., AISTATS 2011; scheduled sampling: Bengio et al., NeurIPS 2015). What gives
the node's results best is kept; the weights as they were cut, if nothing does better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.passes import Repair
from graphprune.runtime.session import open_session
from graphprune.statistics.inside import array_of, shown_inside
from graphprune.statistics.linear import Linear
from graphprune.statistics.stages import StageModel, Store

Array = NDArray[Any]
Feeds = Mapping[str, Array]
ROUNDS = 2  # of fits on the masked network's own states


class Within:
    """One node with bodies, run in the original and in the masked network.

    Args:
        builder: makes a model of the node.
        analysis: of the whole model.
        node: its name.
        items: the linear operators in its bodies.
    """

    def __init__(self, builder: StageModel, analysis: Analysis, node: str, items: Sequence[Linear]) -> None:
        self.builder, self.analysis, self.node, self.items = builder, analysis, node, items
        facts = next(n for n in analysis.facts.nodes if n.name == node)
        self.results = [name for name in facts.outputs if name]
        self.inputs = builder.inputs_of([node])
        self.read = sorted({i.input for i in items} - set(self.inputs))

    def run(self, feeds: Sequence[Feeds], replaced: Mapping[str, Array], store: Store) -> Sequence[Feeds]:
        """The node's results for each batch; what the operators read goes into the store."""
        model = self.builder.build([self.node], self.results, replaced, feeds[0])
        model, shown = shown_inside(model, self.analysis, self.items, feeds)
        results = []
        store.drop(frozenset(self.read), len(feeds))
        with open_session(model) as session:
            ports = {p.name for p in session.inputs}
            for k, batch in enumerate(feeds):
                found = session.run({n: a for n, a in batch.items() if n in ports})
                results.append({n: found[n] for n in self.results if n in found})
                for item in {i.input: i for i in self.items if i.input in self.read}.values():
                    store.put(item.input, k, array_of(item, found, shown, batch))
        return results

    def fit(
        self,
        original: Store,
        pruned: Store,
        feeds: tuple[Sequence[Feeds], Sequence[Feeds]],
        weights: Callable[[], Mapping[str, Array]],
        result: Repair,
        fit: Callable[[Linear], None],
        rounds: int,
    ) -> None:
        """Fit the operators.

        Args:
            original: tensors of the original.
            pruned: tensors of the masked network that differ.
            feeds: inputs of the node in both.
            weights: what the node's weights are in the masked network by now.
            result: what fits are written to; left with the best of them.
            fit: fits one operator.
            rounds: how often to fit on the masked network's own states.
        """
        targets = self.run(feeds[0], {}, original)
        start = dict(result.weights), list(result.operators)
        before = _loss(targets, self.run(feeds[1], weights(), pruned))
        best, least = start, before
        pruned.drop(frozenset(self.read), len(feeds[1]))
        for _ in range(rounds + 1):
            result.weights, result.operators = dict(start[0]), list(start[1])
            for item in self.items:
                fit(item)
            found = dict(result.weights), list(result.operators)
            loss = _loss(targets, self.run(feeds[1], weights(), pruned))
            if loss < least:
                best, least = found, loss
        result.weights, result.operators = best
        names = frozenset(self.read)
        original.drop(names, len(feeds[0]))
        pruned.drop(names, len(feeds[1]))


def _loss(targets: Sequence[Feeds], found: Sequence[Feeds]) -> float:
    """The share of the original's results that is lost, on average over the real ones."""
    shares = []
    for name, first in targets[0].items():
        if first.dtype.kind != "f":
            continue
        pairs = [
            (t[name].astype(np.float64), f[name].astype(np.float64))
            for t, f in zip(targets, found, strict=True)
        ]
        if any(one.shape != other.shape for one, other in pairs):
            return float("inf")
        whole = sum(float(np.square(one).sum()) for one, _ in pairs)
        lost = sum(float(np.square(one - other).sum()) for one, other in pairs)
        shares.append(lost / max(whole, 1e-30))
    found_loss = float(np.mean(shares)) if shares else 0.0
    return found_loss if np.isfinite(found_loss) else float("inf")
