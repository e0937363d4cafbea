"""What a model costs with given numbers of kept slots: parameters, multiply-adds, bytes of weights.

Every count is a sum of products of dimension sizes, so "what would this keep cost" needs no graph.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphprune.analysis.analyser import Analysis
from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.macs import Monomial, macs_of
from graphprune.dims import Atom, Dim, Product, Sum, Take

_Stored = tuple[str, int, tuple[Dim, ...]]  # a weight, the bits of an element, its dimensions


@dataclass(frozen=True, slots=True)
class Cost:
    """Counts of one model.

    Attributes:
        params: elements of all weights in the file.
        macs: multiply-adds for one sample, at the recorded sizes of all other dimensions.
        weight_bytes: bytes of all weights.
    """

    params: int
    macs: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Saving:
    """What a cut saves: multiply-adds of one sample, parameters, bytes of weights."""

    macs: float
    params: float
    weight_bytes: float


class CostModel:
    """The cost polynomial of an analysed model."""

    def __init__(self, analysis: Analysis) -> None:
        origin = analysis.facts.origin
        self._weights = [
            (w.name, origin.get(w.name, w.name), w.itemsize_bits, (*w.dims, *_owner(analysis, w.name)))
            for w in analysis.weights.values()
            if w.made is None
        ]
        self._opened = analysis.opened
        self._spared = analysis.spared
        self._analysis = analysis
        self._constants = _constants(analysis)
        self._nodes = list(_products(analysis.facts.nodes, analysis, 1))
        self._batch = analysis.batch
        self._terms: dict[int, tuple[list[tuple[str, Monomial]], list[_Stored]]] = {}
        self.whole = self.cost()

    def original(self) -> Cost:
        """The cost of the model as it was given, with rows that nobody reads."""
        now = self.cost()
        return dataclasses.replace(now, macs=now.macs + self._spared)

    def cost(self, counts: Mapping[int, int] | None = None) -> Cost:
        """The cost when atom `a` keeps `counts[a]` slots; atoms that are missing keep all.

        Biases that a repair may add are not in the original, which is what no counts ask for. Of a layer
        that keeps nothing a constant may stay.
        """
        size = Sizes(counts or {})
        removed = self._analysis.removed_layers(counts or {})
        dead = self._analysis.dead(removed)
        params = weight_bits = 0.0
        seen: set[tuple[str, tuple[float, ...]]] = set()
        for name, origin, bits, dims in self._weights:
            if name in dead or (not counts and origin in self._opened):
                continue
            shape = tuple(size(d) for d in dims)
            if (origin, shape) in seen:  # clones that are still equal are stored once
                continue
            seen.add((origin, shape))
            elements = math.prod(shape)
            params += elements
            weight_bits += bits * elements
        for bits, dim in (c for a in removed for c in self._constants[a]):
            params += size(dim)
            weight_bits += bits * size(dim)
        macs = sum(m.factor * math.prod(size(d) for d in m.dims) for n, m in self._nodes if n not in dead)
        return Cost(round(params), round(macs) // self._batch, round(weight_bits) // 8)

    def saving(self, atom: int, less: int, counts: Mapping[int, int]) -> Saving:
        """What is saved when one atom keeps `less` slots fewer than in `counts`, all others staying."""
        fewer = {**counts, atom: counts[atom] - less}
        if atom < 0:
            one, other = self.cost(counts), self.cost(fewer)
            return Saving(
                one.macs - other.macs, one.params - other.params, one.weight_bytes - other.weight_bytes
            )
        dead = self._analysis.dead(self._analysis.removed_layers(counts))
        before, after = Sizes(counts), Sizes(fewer)
        macs = params = bits = 0.0
        for node, monomial in self._touched(atom)[0]:
            if node in dead:
                continue
            macs += monomial.factor * (
                math.prod(before(d) for d in monomial.dims) - math.prod(after(d) for d in monomial.dims)
            )
        for name, width, dims in self._touched(atom)[1]:
            if name in dead:
                continue
            elements = math.prod(before(d) for d in dims) - math.prod(after(d) for d in dims)
            params += elements
            bits += width * elements
        return Saving(macs / self._batch, params, bits / 8)

    def _touched(self, atom: int) -> tuple[list[tuple[str, Monomial]], list[_Stored]]:
        """The terms of the polynomial that mention an atom."""
        if atom not in self._terms:
            nodes = [(n, m) for n, m in self._nodes if any(atom in d.atoms for d in m.dims)]
            seen: set[tuple[str, tuple[Dim, ...]]] = set()
            weights: list[_Stored] = []
            for name, origin, bits, dims in self._weights:
                if any(atom in d.atoms for d in dims) and (origin, dims) not in seen:
                    seen.add((origin, dims))
                    weights.append((name, bits, dims))
            self._terms[atom] = (nodes, weights)
        return self._terms[atom]

    def products_by_node(self) -> dict[str, list[Monomial]]:
        """The multiply-adds of every node that has any, for the whole recorded batch."""
        found: dict[str, list[Monomial]] = {}
        for name, monomial in self._nodes:
            found.setdefault(name, []).append(monomial)
        return found

    def macs_by_node(self, counts: Mapping[int, int] | None = None) -> dict[str, int]:
        """Multiply-adds of every node that has any."""
        size = Sizes(counts or {})
        dead = self._analysis.dead(self._analysis.removed_layers(counts or {}))
        found: dict[str, float] = {}
        for name, m in self._nodes:
            found[name] = found.get(name, 0) + (name not in dead) * m.factor * math.prod(
                size(d) for d in m.dims
            )
        return {name: round(macs) // self._batch for name, macs in found.items()}


class Sizes:
    """Sizes of dimensions for given numbers of kept slots."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._counts = counts
        self._seen: dict[Dim, float] = {}

    def __call__(self, dim: Dim) -> float:
        """Size of `dim`; a part taken by index is assumed to lose its share."""
        if not any(a in self._counts for a in dim.atoms):
            return dim.size
        if dim in self._seen:
            return self._seen[dim]
        size: float = 0
        match dim:
            case Atom():
                size = self._counts[dim.id]
            case Product():
                size = math.prod(self(f) for f in dim.factors)
            case Sum():
                size = sum(self(t) for t in dim.terms)
            case Take():
                size = dim.size * self(dim.base) / dim.base.size
        self._seen[dim] = size
        return size


def _products(nodes: Iterable[NodeFacts], analysis: Analysis, turns: int) -> Iterator[tuple[str, Monomial]]:
    """Every node that multiplies, with the turns of the loops around it."""
    for node in nodes:
        for found in macs_of(node, analysis.dims):
            yield node.name, Monomial(found.factor * turns, (*found.dims, *_owner(analysis, node.name)))
        for body in node.bodies:
            yield from _products(body.nodes, analysis, turns * _turns(node, analysis))


def _owner(analysis: Analysis, name: str) -> tuple[Dim, ...]:
    """The expert that a weight or node belongs to alone: with it, it goes."""
    return (analysis.owners[name],) if name in analysis.owners else ()


def _constants(analysis: Analysis) -> dict[int, tuple[tuple[int, Dim], ...]]:
    """What stays of each layer: bits of an element and channels of every end that may give more than zero."""
    nodes = {n.name: n for n in analysis.facts.nodes} if analysis.layers else {}
    found: dict[int, tuple[tuple[int, Dim], ...]] = {}
    for layer in (x for x in analysis.layers if not x.frozen):
        bits = analysis.weights[layer.weight].itemsize_bits
        lasts = [nodes[e.last] for e in layer.ends if e.biased]
        channels = [analysis.dims[n.outputs[0]][1 if n.op.startswith("Conv") else -1] for n in lasts]
        found[layer.atom] = tuple((bits if bits >= 16 else 32, c) for c in channels)
    return found


def _turns(node: NodeFacts, analysis: Analysis) -> int:
    """How often a body ran when shapes were recorded, as far as its inputs and outputs tell."""
    if node.op == "Scan" and node.version >= 9:
        states = len(node.inputs) - int(node.attributes["num_scan_inputs"])
        axis = int((node.attributes.get("scan_input_axes") or [0])[0])
        shape = analysis.recording.shapes.get(node.inputs[states])
        return shape[axis] if shape else 1
    collected = node.outputs[len(node.inputs) - 2 :] if node.op == "Loop" else ()
    shapes = [analysis.recording.shapes.get(n, ()) for n in collected]
    if shapes and shapes[0]:
        return shapes[0][0]
    most = analysis.recording.values.get(node.inputs[0]) if node.op == "Loop" and node.inputs[0] else None
    turns = int(most.item()) if most is not None and most.size == 1 else 1  # a scalar, or one element
    return turns if 0 < turns < 1 << 20 else 1
