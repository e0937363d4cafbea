"""Runs a graph in a few consecutive parts, each a session of its own that is opened once.

Between two parts only the tensors that later parts read are alive, so that activations of one part at a time
are in memory, and a run can start in the middle: behind a place whose tensors are known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis, CostModel
from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.runtime.session import Session, open_session
from graphprune.statistics.stages import StageModel

Array = NDArray[Any]
Feeds = Mapping[str, Array]

PARTS = 16
_FEWEST = 4  # nodes of a part
_REACH = 0.4  # of the work of a part: how far a border is moved to where fewer tensors are alive


class Parts:
    """A graph in parts.

    Attributes:
        count: how many parts there are.
    """

    def __init__(
        self, model: ir.Model, analysis: Analysis, wanted: Collection[str] = (), most: int = PARTS
    ) -> None:
        """Divide a graph into parts of about the same work.

        Args:
            model: a normalised model.
            analysis: of that model.
            wanted: tensors that runs give beside the outputs of the graph.
            most: number of parts at most.
        """
        self._builder = StageModel(model, analysis.facts)
        self._constants = _Constants(analysis.facts)
        self._nodes = [n for n in analysis.facts.nodes if not self._constants.makes(n)]
        self._borders = [0, *_borders(self._nodes, analysis, most), len(self._nodes)]
        self._wanted = frozenset((*wanted, *analysis.facts.outputs))
        self._until = {name: k for k, n in enumerate(self._nodes) for name in _read(n)}
        self._open: dict[tuple[int, int], Session] = {}
        self.count = len(self._borders) - 1

    def readers(self, weights: Collection[str]) -> tuple[int, int]:
        """The first and the last part in which one of these initializers is read; `(0, 0)` for none."""
        found = [
            k
            for k in range(self.count)
            if any(n in weights for node in self._between(k, k) for n in _read(node))
        ]
        return (found[0], found[-1]) if found else (0, 0)

    def run(self, part: int, state: Feeds) -> tuple[Feeds, Feeds]:
        """What comes of one part of the graph as it is, see `step`."""
        with self.opened(part, part, state) as session:
            return self.step(session, part, state)

    def opened(
        self, first: int, last: int, state: Feeds, replaced: Mapping[str, Array] | None = None
    ) -> AbstractContextManager[Session]:
        """A session of some parts, to be run with `step`; without new weights it is kept for the next time.

        Args:
            first: the first part.
            last: the last part.
            state: an example of the tensors alive before them.
            replaced: other values of initializers.
        """
        if not replaced and (first, last) in self._open:
            return nullcontext(self._open[first, last])
        nodes = self._between(first, last)
        stop = self._borders[last + 1]
        own = self._nodes[self._borders[first] : stop]
        outputs = [
            name
            for node in own
            for name in node.outputs
            if name and (name in self._wanted or self._until.get(name, -1) >= stop)
        ]
        names = [n.name for n in nodes]
        given = {n: state[n] for n in self._builder.inputs_of(names)}
        session = open_session(self._builder.build(names, outputs, replaced or {}, given), arena=False)
        if replaced:
            return session
        self._open[first, last] = session
        return nullcontext(session)

    def step(self, session: Session, last: int, state: Feeds) -> tuple[Feeds, Feeds]:
        """Runs a session of parts up to `last` on the tensors that are alive before it.

        Returns:
            The tensors alive after it, and those it makes that are wanted.
        """
        found = session.run({p.name: state[p.name] for p in session.inputs})
        stop = self._borders[last + 1]
        alive = {n: a for n, a in {**state, **found}.items() if self._until.get(n, -1) >= stop}
        return alive, {n: a for n, a in found.items() if n in self._wanted or n not in alive}

    def close(self) -> None:
        """Close all sessions."""
        for session in self._open.values():
            session.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _between(self, first: int, last: int) -> list[NodeFacts]:
        """The nodes of some parts, with those that prepare weights for them."""
        own = self._nodes[self._borders[first] : self._borders[last + 1]]
        return [*self._constants.behind(own), *own]


class _Constants:
    """Nodes that compute from weights alone: every part has its own, so that none of it is carried along."""

    def __init__(self, facts: GraphFacts) -> None:
        self._made = {o: n for n in facts.nodes if self._is_one(n, facts) for o in n.outputs if o}
        self._order = {n.name: k for k, n in enumerate(facts.nodes)}
        self._names = {n.name for n in self._made.values()}

    @staticmethod
    def _is_one(node: NodeFacts, facts: GraphFacts) -> bool:
        return all(o in facts.constant and o not in facts.outputs for o in node.outputs if o)

    def makes(self, node: NodeFacts) -> bool:
        """Whether this is such a node."""
        return node.name in self._names

    def behind(self, nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
        """Those that some nodes need, in order."""
        found: dict[str, NodeFacts] = {}
        todo = [name for n in nodes for name in _read(n)]
        while todo:
            node = self._made.get(todo.pop())
            if node is not None and node.name not in found:
                found[node.name] = node
                todo.extend(_read(node))
        return sorted(found.values(), key=lambda n: self._order[n.name])


def _read(node: NodeFacts) -> tuple[str, ...]:
    return tuple(n for n in (*node.inputs, *node.captured) if n)


def _borders(nodes: Sequence[NodeFacts], analysis: Analysis, most: int) -> list[int]:
    """Places between nodes that divide the work evenly, where little is alive."""
    count = min(most, len(nodes) // _FEWEST)
    macs = CostModel(analysis).macs_by_node()
    shapes = analysis.recording.shapes
    total = max(1, sum(macs.values()))
    # Nodes without multiply-adds cost something too.
    work = np.cumsum([macs.get(n.name, 0) / total + 0.3 / len(nodes) for n in nodes]) / 1.3
    alive = _alive(nodes, shapes)
    found: list[int] = []
    for k in range(1, count):
        near = np.abs(work - k / count) <= _REACH / count
        near[np.argmin(np.abs(work - k / count))] = True
        # The border is behind a node: a place is the number of nodes before it.
        places = [int(p) + 1 for p in np.flatnonzero(near) if np.isfinite(alive[p + 1])]
        if places:
            found.append(min(places, key=lambda p: (alive[p], abs(work[p - 1] - k / count))))
    return sorted({p for p in found if 0 < p < len(nodes)})


def _alive(nodes: Sequence[NodeFacts], shapes: Mapping[str, tuple[int, ...]]) -> list[float]:
    """Elements of the tensors alive before each node and at the end; infinity where one has no shape."""
    until = {name: k for k, n in enumerate(nodes) for name in _read(n)}
    elements, unknown = np.zeros(len(nodes) + 2), np.zeros(len(nodes) + 2)
    for k, node in enumerate(nodes):
        for name in node.outputs:
            if until.get(name, -1) > k:
                size = float(np.prod(shapes[name])) if name in shapes else 1.0
                changes = elements if name in shapes else unknown
                changes[k + 1] += size
                changes[until[name] + 1] -= size
    return [float("inf") if u else float(v) for v, u in zip(elements.cumsum(), unknown.cumsum(), strict=True)]
