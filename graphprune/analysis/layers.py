"""Layers: residual branches that can go as a whole.

A branch ends in a linear operator, and what that gives is added to a stream that by-passes it. Without the
weight of that operator the branch gives a constant: its bias, or what normalisation, a layer scale or a gate
make of it. So the pruned graph adds that constant, or nothing where it is zero, and everything that only fed
the branch is dead code. It is the limit of width pruning: the last operator sums over no slots any more.

    x ── norm ── … ── MatMul ── + bias ── tail ──╮
    ╰─────────── stream ────────────────────── Add ── …

An addition of several branches (`x + a + m`) is one sum, however it is written. Branches that end in one and
the same weight are one layer: they go together or not at all.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from graphprune.analysis.constancy import FOLLOWED, SILENT, Axes, varying_axes
from graphprune.analysis.deadcode import Operand
from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.links import Links
from graphprune.analysis.signs import DIVIDING, Sign, sign_of
from graphprune.analysis.weights import Weight
from graphprune.runtime.recording import Recording

_ADDING = frozenset({"Add", "Sum"})
_TRANSPARENT = frozenset(
    {"DequantizeLinear", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}
)
_SIZES = frozenset({"Shape", "Size"})  # whoever reads a size sees the same without the weights
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE})
_SMALL = 1 << 16  # elements of a constant that is looked at
_LONGEST = 64  # nodes between a linear operator and the addition


@dataclass(frozen=True, slots=True)
class End:
    """One place where a layer ends.

    Attributes:
        last: name of the linear operator.
        weight: which of its inputs is the weight.
        tail: names of the nodes behind it up to the addition, in order.
        branch: the tensor that is added.
        operand: the node that adds, and which of its inputs the branch is.
        stream: the tensor that by-passes it, or "".
        varies: axes of `branch` along which it may vary when the weight is zero.
        biased: whether it may then hold anything but zero.
    """

    last: str
    weight: int
    tail: tuple[str, ...]
    branch: str
    operand: Operand
    varies: Axes
    biased: bool
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A residual branch.

    Attributes:
        atom: stands for the layer in a decision: a dimension of one slot that no axis has; negative.
        key: its stable name, that of the operator it ends in.
        weight: the initializer that is zero in the masked original.
        ends: where it ends; several if they share the weight.
        frozen: why it cannot go, or "".
    """

    atom: int
    key: str
    weight: str
    ends: tuple[End, ...]
    frozen: str

    @property
    def unread(self) -> frozenset[Operand]:
        """The operands that are left out with it."""
        return frozenset(e.operand for e in self.ends)


@dataclass(frozen=True, slots=True)
class _Term:
    """One summand of a sum: the operand that brings it, and its tensor."""

    operand: Operand
    tensor: str


def find_layers(facts: GraphFacts, recording: Recording, weights: Mapping[str, Weight]) -> tuple[Layer, ...]:
    """The layers of a graph in order, those that cannot go with the reason."""
    return _Finder(facts, recording, weights).run()


class _Finder:
    def __init__(self, facts: GraphFacts, recording: Recording, weights: Mapping[str, Weight]) -> None:
        self.facts, self.recording, self.weights = facts, recording, weights
        self.links = Links.of(facts)
        self.place = {n.name: k for k, n in enumerate(facts.nodes)}

    def run(self) -> tuple[Layer, ...]:
        """Every sum with its branches; branches of one weight together."""
        found: dict[str, list[tuple[End, str]]] = {}
        for node in self.facts.nodes:
            if self._is_sum(node) and not self._inner(node):
                for end, why in self._branches(node):
                    root = self._root(self._node(end.last).inputs[end.weight])
                    found.setdefault(root or f"{end.last}:{end.weight}", []).append((end, why))
        return tuple(self._layer(-1 - k, root, ends) for k, (root, ends) in enumerate(found.items()))

    def _layer(self, atom: int, root: str, found: list[tuple[End, str]]) -> Layer:
        ends = tuple(end for end, _ in found)
        why = next((w for _, w in found if w), "") or self._refusal(root, ends)
        return Layer(atom, ends[0].last, root if root in self.facts.weights else "", ends, why)

    def _refusal(self, root: str, ends: tuple[End, ...]) -> str:
        weight = self.weights.get(root)
        if weight is None or not weight.masked:
            return "the weight of its last operator is computed in the graph"
        if self.recording.method != "run":
            return "the model cannot be run, so nobody has measured what the branch gives"
        others = [n for n in self._read_by(root) if n not in {e.last for e in ends}]
        if others:
            return f'its last weight is read by "{others[0]}" too'
        for end in ends:
            tensor = self.facts.weights[root]
            if tensor.dtype.is_floating_point() and tensor.dtype not in _TYPES:
                return f"its element type {tensor.dtype} is not computed here"
            if any(self._moves(end, k) for k in end.varies):
                return "without its weights it gives something else at every size of the inputs"
        return ""

    def _moves(self, end: End, axis: int) -> bool:
        """Whether the size of an axis may change; where not all sizes were tried, only channels cannot."""
        last = self._node(end.last)
        channels = self.recording.shapes[last.outputs[0]][1 if last.op.startswith("Conv") else -1]
        known = self.recording.certain or self.recording.shapes[end.branch][axis] == channels
        return not known or self.recording.dynamic(end.branch)[axis]

    # -- sums ---------------------------------------------------------------------------------

    def _node(self, name: str) -> NodeFacts:
        return self.facts.nodes[self.place[name]]

    def _is_sum(self, node: NodeFacts) -> bool:
        return (
            node.op in _ADDING
            and not node.domain
            and len(node.inputs) > 1
            and not any(n in self.facts.shaped for n in node.inputs)
            and all(n in self.recording.shapes for n in (*node.inputs, *node.outputs))
        )

    def _inner(self, node: NodeFacts) -> bool:
        """Whether what the node adds up is one summand of another sum and nothing else."""
        readers = self._readers(node.outputs[0])
        return len(readers) == 1 and self._is_sum(readers[0])

    def _readers(self, name: str) -> list[NodeFacts]:
        """The nodes that read a tensor; several times the same where it reads it several times."""
        if name in self.facts.outputs:
            return []
        readers = self.links.readers.get(name, [])
        return readers * max(1, self.links.uses.get(name, 0)) if len(readers) == 1 else list(readers)

    def _terms(self, node: NodeFacts) -> Iterator[_Term]:
        for index, name in enumerate(node.inputs):
            maker = self.links.producer.get(name)
            if maker is not None and self._is_sum(maker) and self._inner(maker):
                yield from self._terms(maker)
            else:
                yield _Term((node.name, index), name)

    def _branches(self, node: NodeFacts) -> Iterator[tuple[End, str]]:
        """The branches of a sum, each with why it cannot go, or ""."""
        terms = list(self._terms(node))
        for term in terms:
            end = self._end(term)
            if end is None:
                continue
            streams = [t.tensor for t in terms if t is not term and self._bypasses(t.tensor, end.last)]
            whole = self.recording.shapes[node.outputs[0]], self.recording.second.get(node.outputs[0])
            same = [s for s in streams if (self.recording.shapes[s], self.recording.second.get(s)) == whole]
            if not streams:
                yield (
                    end,
                    f'nothing by-passes it: "{node.name}" adds something that it is not computed from',
                )
            elif not same:
                yield end, f'the stream beside it has another shape than what "{node.name}" gives'
            else:
                yield replace(end, stream=same[0]), ""

    def _bypasses(self, stream: str, last: str) -> bool:
        """Whether a branch is computed from a tensor, or from what that was taken from without weights."""
        sources = set(self._sources(stream))
        first = min(
            (self.place[self.links.producer[n].name] for n in sources if n in self.links.producer), default=-1
        )
        if not sources <= self.links.producer.keys():
            first = -1
        stack, seen = [last], {last}
        while stack:
            node = self._node(stack.pop())
            for name in (*node.inputs, *node.captured):
                if name in sources:
                    return True
                maker = self.links.producer.get(name)
                if maker is not None and maker.name not in seen and self.place[maker.name] > first:
                    seen.add(maker.name)
                    stack.append(maker.name)
        return False

    def _sources(self, name: str) -> Iterator[str]:
        """A tensor, what it was made from, and so on, while it is one tensor without weights of its own."""
        while True:
            yield name
            maker = self.links.producer.get(name)
            given = [] if maker is None else [n for n in maker.inputs if n and n not in self.facts.shaped]
            if maker is None or maker.bodies or len(given) != 1 or maker.op in _RECURRENT:
                return
            if _weight_of(maker, self.facts) is not None:
                return
            name = given[0]

    # -- branches -----------------------------------------------------------------------------

    def _end(self, term: _Term) -> End | None:
        """The linear operator that all of a summand comes through, with what is behind it."""
        holder = self._node(term.operand[0])
        maker = self.links.producer.get(term.tensor)
        if maker is None or holder.inputs.count(term.tensor) != 1:
            return None
        waiting, inside = [-self.place[maker.name]], {(holder.name, term.tensor)}
        tail: list[NodeFacts] = []
        while waiting and len(tail) < _LONGEST:
            node = self.facts.nodes[-heapq.heappop(waiting)]
            if node.bodies or any(o in self.facts.outputs for o in node.outputs):
                return None
            readers = ((r, o) for o in node.outputs for r in self.links.readers.get(o, ()))
            if not {(r.name, o) for r, o in readers if r.op not in _SIZES} <= inside:
                return None
            index = _weight_of(node, self.facts)
            if index is not None and not waiting:
                return self._finished(term, node, index, tail[::-1])
            given = [n for n in node.inputs if n and n not in self.facts.shaped]
            if node.domain or node.op not in FOLLOWED or not given:
                return None
            if any(n not in self.links.producer for n in given):
                return None
            inside.update((node.name, n) for n in given)
            tail.append(node)
            for name in given:
                place = -self.place[self.links.producer[name].name]
                if place not in waiting:
                    heapq.heappush(waiting, place)
        return None

    def _finished(self, term: _Term, last: NodeFacts, index: int, tail: list[NodeFacts]) -> End | None:
        shapes = self.recording.shapes
        result = last.outputs[0]
        if result not in shapes:
            return None
        rank = len(shapes[result])
        varying: dict[str, Axes] = {result: frozenset({1 if last.op.startswith("Conv") else rank - 1})}
        signs: dict[str, Sign] = {result: Sign.ANY}
        for node in tail:
            axes = varying_axes(node, varying, shapes)
            if axes is None or not self._defined(node, signs):
                return None
            varying.update({o: axes for o in node.outputs if o})
            signs.update(dict.fromkeys(node.outputs, sign_of(node, signs, self._least)))
        biased = len([n for n in last.inputs if n]) > 2 or any(n.op not in SILENT for n in tail)
        return End(
            last.name,
            index,
            tuple(n.name for n in tail),
            term.tensor,
            term.operand,
            varying[term.tensor],
            biased,
        )

    def _defined(self, node: NodeFacts, signs: Mapping[str, Sign]) -> bool:
        """Whether a node divides by nothing that may be zero without the weights."""
        divisor = node.inputs[DIVIDING[node.op]] if node.op in DIVIDING else ""
        return signs.get(divisor, Sign.POSITIVE) is Sign.POSITIVE

    def _least(self, name: str) -> float | None:
        """The smallest element of a small stored tensor."""
        tensor = self.facts.weights.get(name)
        if tensor is None or not 0 < tensor.size <= _SMALL:
            return None
        return float(np.min(np.asarray(tensor.numpy(), np.float64)))

    # -- weights ------------------------------------------------------------------------------

    def _root(self, name: str) -> str:
        """The initializer that a weight is read from, or "" where it is computed."""
        while name not in self.facts.weights:
            maker = self.links.producer.get(name)
            if maker is None or maker.op not in _TRANSPARENT:
                return ""
            name = maker.inputs[0]
        return name

    def _read_by(self, name: str) -> Iterator[str]:
        """Names of the nodes that read a weight, seen through what only changes its form."""
        for node in self.links.readers.get(name, ()):
            if node.op in _TRANSPARENT and node.outputs[0] in self.facts.constant:
                yield from self._read_by(node.outputs[0])
            else:
                yield node.name


def _weight_of(node: NodeFacts, facts: GraphFacts) -> int | None:
    """Which input of a linear operator is its constant weight; None if it is no such operator."""
    constant = [n in facts.constant or not n for n in node.inputs]
    if node.domain or len(node.inputs) < 2 or constant[:2].count(True) != 1 or not all(constant[2:]):
        return None
    index = constant[:2].index(True)
    if node.op in ("MatMul", "Gemm") or (node.op in ("Conv", "ConvTranspose") and index == 1):
        return index
    return None
