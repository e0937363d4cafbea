"""What a model would take with given numbers of kept slots, from one profile of the whole model.

Each kernel's time is a fixed part, which any call takes, and a part that shrinks with what it computes: its
multiply-adds, or the elements that it makes where it has none. Sizes count in whole steps of the kernel's
staircase. It is an estimate for choosing among cuts; what comes out is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphprune.analysis.analyser import Analysis
from graphprune.analysis.cost import CostModel, Sizes
from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.macs import Monomial
from graphprune.dims import Dim
from graphprune.runtime.profile import Kernel, Profile


@dataclass(frozen=True, slots=True)
class _Term:
    """A kernel's time that shrinks with its work, and is gone with all its nodes.

    Attributes:
        ms: what shrinks.
        call: what any call takes.
    """

    nodes: frozenset[str]
    ms: float
    call: float
    work: tuple[Monomial, ...]
    step: int

    def at(self, size: Sizes, dead: frozenset[str]) -> float:
        """Milliseconds at these sizes, when some nodes are gone."""
        if self.nodes and self.nodes <= dead:
            return 0.0
        return self.call + self._shrunk(size)

    def _shrunk(self, size: Sizes) -> float:
        whole = sum(m.factor * math.prod(d.size for d in m.dims) for m in self.work)
        left = sum(m.factor * math.prod(self._padded(d, size) for d in m.dims) for m in self.work)
        return self.ms * left / whole if whole else self.ms

    def _padded(self, dim: Dim, size: Sizes) -> float:
        """The size that the kernel computes; one that is whole costs what was measured."""
        now = size(dim)
        return now if now == dim.size else min(dim.size, math.ceil(now / self.step) * self.step)


class LatencyModel:
    """Latency as a function of kept slots."""

    def __init__(self, analysis: Analysis, profile: Profile, steps: Mapping[str, int]) -> None:
        """Read the profile of the model that was analysed.

        Args:
            analysis: of the model.
            profile: of the same model.
            steps: by operator, the stairs of its kernels; 1 for others.
        """
        nodes = {n.name: n for n in analysis.facts.nodes}
        products = CostModel(analysis).products_by_node()
        call = min((k.ms for k in profile.kernels), default=0.0)
        self._terms = [
            _Term(frozenset(k.nodes), max(0.0, k.ms - call), min(k.ms, call), work, _step(k, nodes, steps))
            for k in profile.kernels
            if (work := tuple(_work(k, nodes, products, analysis)))
        ]
        self.whole = max(profile.run_ms, profile.kernel_ms)
        self.fixed = self.whole - sum(t.ms + t.call for t in self._terms)
        self._analysis = analysis
        self._touched: dict[int, list[_Term]] = {}

    def ms(self, counts: Mapping[int, int] | None = None) -> float:
        """Milliseconds when atom `a` keeps `counts[a]` slots."""
        size, dead = Sizes(counts or {}), self._dead(counts or {})
        return self.fixed + sum(t.at(size, dead) for t in self._terms)

    def saving(self, atom: int, less: int, counts: Mapping[int, int]) -> float:
        """Milliseconds saved when one atom keeps `less` slots fewer than in `counts`, all others staying."""
        if atom < 0:
            return self.ms(counts) - self.ms({**counts, atom: counts[atom] - less})
        if atom not in self._touched:
            self._touched[atom] = [
                t for t in self._terms if any(atom in d.atoms for m in t.work for d in m.dims)
            ]
        before, after = Sizes(counts), Sizes({**counts, atom: counts[atom] - less})
        dead = self._dead(counts)
        return sum(t.at(before, dead) - t.at(after, dead) for t in self._touched[atom])

    def _dead(self, counts: Mapping[int, int]) -> frozenset[str]:
        return self._analysis.dead(self._analysis.removed_layers(counts))


def _work(
    kernel: Kernel, nodes: Mapping[str, NodeFacts], products: Mapping[str, list[Monomial]], analysis: Analysis
) -> Iterator[Monomial]:
    """What a kernel computes: the products of its nodes and their bodies, else the elements it makes."""
    own = [nodes[n] for n in kernel.nodes if n in nodes]
    found = [m for n in _with_bodies(own) for m in products.get(n.name, ())]
    if found:
        yield from found
        return
    for node in own[-1:]:
        made = [dims for name in node.outputs if (dims := analysis.dims.get(name))]
        yield from (Monomial(1, tuple(dims)) for dims in made)


def _with_bodies(nodes: Iterable[NodeFacts]) -> Iterator[NodeFacts]:
    for node in nodes:
        yield node
        for body in node.bodies:
            yield from body.all_nodes


def _step(kernel: Kernel, nodes: Mapping[str, NodeFacts], steps: Mapping[str, int]) -> int:
    return max((steps.get(nodes[n].op, 1) for n in kernel.nodes if n in nodes), default=1)
