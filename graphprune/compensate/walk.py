"""Walks through a graph as far as asked, over many inputs, with weights that may change ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.statistics.stages import OnDemand, StageModel, Store, run_stage

Array = NDArray[Any]
Feeds = Mapping[str, Array]


class Walk:
    """Computes tensors of every batch, each node once, and forgets what nobody will read.

    Attributes:
        builder: makes runnable models of some nodes.
    """

    def __init__(self, model: ir.Model, facts: GraphFacts, batches: Sequence[Feeds], budget: int) -> None:
        self.builder = StageModel(model, facts)
        self._facts = facts
        self._count = len(batches)
        self._store = Store(budget)
        self._kept: set[str] = set()
        self._left = {n.name: n for n in facts.nodes}
        self._producer = {o: n for n in facts.nodes for o in n.outputs if o}
        for k, feeds in enumerate(batches):
            for name in facts.inputs:
                self._put(name, k, feeds[name])

    def unmet(self, names: Iterable[str]) -> list[NodeFacts]:
        """The nodes that have to run before these tensors are known, in order."""
        found: set[str] = set()
        stack = [n for n in names if n]
        while stack:
            node = self._producer.get(stack.pop())
            if node is not None and node.name in self._left and node.name not in found:
                found.add(node.name)
                stack.extend(n for n in (*node.inputs, *node.captured) if n)
        return [n for n in self._facts.nodes if n.name in found]

    def advance(self, names: Sequence[str], weights: Mapping[str, Array]) -> None:
        """Run until these tensors are known.

        Args:
            names: tensors whose values will be asked for before the next call.
            weights: other values for some initializers, from now on.
        """
        nodes = self.unmet(names)
        for node in nodes:
            del self._left[node.name]
        read = {n for node in self._left.values() for n in (*node.inputs, *node.captured)} | set(names)
        made = {o for n in nodes for o in n.outputs if o}
        run = [n.name for n in nodes]
        given = self.builder.inputs_of(run)
        feeds = OnDemand(self._count, lambda k: {n: self.get(n, k) for n in given})
        outputs = sorted(made & read)
        for k, found in enumerate(run_stage(self.builder, run, outputs, weights, feeds)):
            for name, array in found.items():
                self._put(name, k, array)
        gone = self._kept - read
        self._store.drop(frozenset(gone), self._count)
        self._kept -= gone

    def get(self, name: str, batch: int) -> Array:
        """A tensor that was asked for."""
        return self._store.get(name, batch)

    def close(self) -> None:
        """Forget everything."""
        self._store.close()

    def _put(self, name: str, batch: int, array: Array) -> None:
        self._store.put(name, batch, array)
        self._kept.add(name)
