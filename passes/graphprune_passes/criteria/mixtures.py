"""Mixtures of experts in a graph, whatever their form: what decides, what computes, where it is added up.

An expert is a slot of a dimension along which something chooses or shares out. The weights that have the
slot and do not lead to the choice compute the expert, in one stack or in matrices of its own. What follows
from them comes together in one tensor, the output of the mixture. Up to there it is the sum of what each
expert gives times its share, so an expert is told apart by zeros in the weights of the others: no form of
export (stacked, picked by number, written out one by one, fused) has to be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Weight
from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.links import Links
from graphprune.analysis.weights import zero_of
from graphprune.dims import Keeps, Slots, slots_of
from graphprune.rewrite.masking import is_masked, zero_removed
from graphprune.rules.effects import Alternatives, Contraction

Array = NDArray[Any]

_FUSED = {"MoE": 1, "QMoE": 1}  # operators that choose themselves, and the input they choose by
_MOVES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Cast", "Identity"})
_SCATTERS = frozenset({"ScatterND", "ScatterElements"})
_MIXES = frozenset({"Mul", "Einsum", "MatMul"})  # with what does not come from the experts


@dataclass(frozen=True, slots=True)
class Mixture:
    """The experts of one layer.

    Attributes:
        atom: the dimension of the experts.
        nodes: names of the operators from the experts' weights to the output, in order.
        output: the tensor in which all experts come together.
        axis: of the width of an expert's result in it.
        weights: names of the experts' weights that these operators read.
        gates: the tensors of shares that results are multiplied by.
    """

    atom: int
    nodes: tuple[str, ...]
    output: str
    axis: int
    weights: tuple[str, ...]
    gates: tuple[str, ...]

    def only(self, analysis: Analysis, slot: int | None) -> dict[str, Array]:
        """The weights with zeros for all experts but one; None for all of them."""
        kept = np.array([] if slot is None else [slot], np.int64)
        return {n: _masked(analysis, n, {self.atom: Slots(kept)}, slot) for n in self.weights}


def _masked(analysis: Analysis, name: str, keeps: Keeps, slot: int | None) -> Array:
    weight, stored = analysis.weights[name], analysis.facts.weights[name].numpy()
    zero = zero_of(weight, analysis.facts)
    if is_masked(weight, keeps):
        return zero_removed(stored, weight, keeps, zero)
    owner = analysis.owners.get(name)
    if owner is None or not weight.masked:
        return stored
    (atom,) = owner.atoms
    mine = slot is not None and int(slots_of(owner, atom)[0]) == slot
    return stored if mine else np.broadcast_to(zero.astype(stored.dtype), stored.shape).copy()


def mixture_atoms(analysis: Analysis) -> Iterator[int]:
    """The dimensions that are experts: those of a group, and those of operators that are whole mixtures."""
    found = [g.atom for g in analysis.groups if g.kind == "experts"]
    for node in analysis.facts.nodes:
        if node.op in _FUSED:
            found += [a for d in analysis.dims.get(node.inputs[2], ())[:1] for a in d.atoms]
    yield from dict.fromkeys(found)


def find_mixture(analysis: Analysis, atom: int) -> Mixture | None:
    """The mixture along a dimension of experts; None if its form cannot be followed."""
    deciding = _upstream(analysis, atom)
    weights = {n: w for n, w in analysis.weights.items() if n not in deciding and _of(analysis, w, atom)}
    seeds = {n for n, w in weights.items() if sum(s > 1 for s in w.shape) > 1}
    found = _Walk(analysis, atom, seeds).run() if seeds else None
    if found is None:
        return None
    nodes, output, gates = found
    read = {n for node in nodes for n in node.inputs}
    dims = analysis.dims.get(output, ())
    widths = {a for n in seeds for d in weights[n].dims for a in d.atoms} - {atom}
    axis = next((k for k, d in enumerate(dims) if widths & set(d.atoms)), len(dims) - 1)
    names = tuple(n for n in weights if n in read)
    return Mixture(atom, tuple(n.name for n in nodes), output, axis, names, gates)


def router_weights(analysis: Analysis, atom: int) -> list[Weight]:
    """The matrices with a row for each expert that lead to the choice."""
    deciding = _upstream(analysis, atom)
    return [
        w
        for n, w in analysis.weights.items()
        if n in deciding
        and w.real
        and not w.additive
        and sum(s > 1 for s in w.shape) > 1
        and any(atom in d.atoms for d in w.dims)
    ]


def _of(analysis: Analysis, weight: Weight, atom: int) -> bool:
    """Whether a weight belongs to experts: it has their axis, or is one expert's own."""
    owner = analysis.owners.get(weight.name)
    own = owner is not None and atom in owner.atoms
    return weight.real and weight.made is None and (own or any(atom in d.atoms for d in weight.dims))


def _choices(analysis: Analysis, atom: int) -> Iterator[tuple[NodeFacts, int]]:
    """The operators that choose among the experts, and the input they choose by."""
    nodes = {n.name: n for n in analysis.facts.nodes}
    for effect in analysis.effects:
        if isinstance(effect, Alternatives) and atom in effect.dim.atoms and effect.node in nodes:
            yield nodes[effect.node], effect.index
    for node in analysis.facts.nodes:
        if node.op in _FUSED and any(atom in d.atoms for d in analysis.dims.get(node.inputs[2], ())):
            yield node, _FUSED[node.op]


def _upstream(analysis: Analysis, atom: int) -> set[str]:
    """Names of everything that leads to the choice."""
    producer = Links.of(analysis.facts).producer
    waiting = [node.inputs[index] for node, index in _choices(analysis, atom)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name and name not in found:
            found.add(name)
            if name in producer:
                waiting += [*producer[name].inputs, *producer[name].captured]
    return found


class _Walk:
    """From the weights of the experts to the tensor in which they come together."""

    def __init__(self, analysis: Analysis, atom: int, seeds: set[str]) -> None:
        self.facts, self.seeds, self.dims, self.atom = analysis.facts, seeds, analysis.dims, atom
        self.last: dict[str, int] = dict.fromkeys(analysis.facts.outputs, len(analysis.facts.nodes))
        for place, node in enumerate(self.facts.nodes):
            for name in (*node.inputs, *node.captured):
                self.last[name] = max(place, self.last.get(name, 0))
        self.path: dict[str, None] = {}
        self.shared = _downstream(self.facts.nodes, (n for n, _ in _choices(analysis, atom)))

    def run(self) -> tuple[list[NodeFacts], str, tuple[str, ...]] | None:
        """The operators, the output, and the shares; None if the experts never come together."""
        met: list[NodeFacts] = []
        gates: dict[str, None] = {}
        together = ""
        read = max(self.last.get(n, 0) for n in self.seeds)
        for place, node in enumerate(self.facts.nodes):
            if not any(n in self.path or n in self.seeds for n in (*node.inputs, *node.captured)):
                continue
            if together and not self._goes_on(node):
                break
            met.append(node)
            if node.op in _MIXES and any(n in self.path for n in node.inputs):
                others = [n for n in node.inputs if n not in self.path]
                gates.update(dict.fromkeys(n for n in others if n in self.shared))
            self.path.update(dict.fromkeys(n for n in node.outputs if n))
            waiting = [n for n in self.path if self.last.get(n, -1) > place]
            if together and waiting != [node.outputs[0]]:
                met.pop()
                break
            if place >= read and len(waiting) == 1 and not self._told_apart(waiting[0]):
                together = waiting[0]
        return (met, together, tuple(gates)) if together else None

    def _told_apart(self, name: str) -> bool:
        """Whether experts still lie side by side in a tensor."""
        return any(self.atom in d.atoms for d in self.dims.get(name, ()))

    def _goes_on(self, node: NodeFacts) -> bool:
        """Whether the sum of all experts is only moved, scaled or added up further by a node."""
        others = [n for n in node.inputs if n and n not in self.path]
        if node.op in _MIXES:
            return bool(others) and not any(n in self.facts.constant for n in others)
        if node.op in ("Where", *_SCATTERS):
            return node.inputs[0] not in self.path
        moved = (*_MOVES, "ReduceSum", "ReduceMean", "Div", "Gather", "GatherND", "GatherElements")
        return node.op in moved and node.inputs[0] in self.path


def _downstream(nodes: Iterable[NodeFacts], choosing: Iterable[NodeFacts]) -> set[str]:
    """Everything that follows from a choice."""
    first = {n.name for n in choosing}
    found: set[str] = set()
    for node in nodes:
        if node.name in first or any(n in found for n in (*node.inputs, *node.captured)):
            found.update(node.outputs)
    return found


def read_through(analysis: Analysis, mixture: Mixture, atom: int) -> str:
    """The one weight of a mixture that sums over a dimension; "" if there is none, or several."""
    producer = Links.of(analysis.facts).producer
    nodes = {n.name: n for n in analysis.facts.nodes}
    found: set[str] = set()
    for effect in analysis.effects:
        if isinstance(effect, Contraction) and atom in effect.dim.atoms and effect.node in mixture.nodes:
            for name in (nodes[effect.node].inputs[k] for k in effect.operands):
                while name in producer and producer[name].op in (*_MOVES, "Gather"):
                    name = producer[name].inputs[0]
                found.add(name)
    mine = [n for n in mixture.weights if n in found]
    floating = len(mine) == 1 and bool(analysis.facts.weights[mine[0]].dtype.is_floating_point())
    return mine[0] if floating else ""
