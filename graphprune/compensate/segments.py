"""Pieces of a network that can be fitted by themselves: linear operators that meet in one linear operator.

A segment ends in a linear operator with its bias and goes back through everything that only it reads, up to
the linear operators before. In a perceptron those are the layers around an activation, in attention the
projections of queries, keys and values and the one behind. Nothing else sees what happens inside, so all of
its weights may change as long as what comes out stays near the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.gradient import differentiable

_LINEAR = frozenset({"MatMul", "Gemm", "Conv"})
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes that are fitted together.

    Attributes:
        nodes: in topological order.
        inputs: tensors they read from outside, weights left out.
        weights: initializers that may change.
        last: name of the linear operator at the end.
        result: the tensor it gives, with its bias.
        beside: the other side of an addition that reads the result, or "".
        sum: what that addition gives, or "".
    """

    nodes: tuple[NodeFacts, ...]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    last: str
    result: str
    beside: str
    sum: str


def find_segments(facts: GraphFacts) -> tuple[Segment, ...]:
    """The segments of a graph, in topological order of their ends; they may overlap there."""
    finder = _Finder(facts)
    return tuple(s for node in facts.nodes if finder.linear(node) for s in finder.segment(node))


class _Finder:
    def __init__(self, facts: GraphFacts) -> None:
        self.facts = facts
        self.place = {n.name: k for k, n in enumerate(facts.nodes)}
        self.producer = {o: n for n in facts.nodes for o in n.outputs if o}
        self.readers: dict[str, list[NodeFacts]] = {}
        self.uses: dict[str, int] = {}
        for node in facts.nodes:
            for name in dict.fromkeys((*node.inputs, *node.captured)):
                self.readers.setdefault(name, []).append(node)
        for node in facts.all_nodes:
            for name in node.inputs:
                self.uses[name] = self.uses.get(name, 0) + 1

    def linear(self, node: NodeFacts) -> bool:
        """Whether this multiplies activations with a weight of its own."""
        if node.domain or node.op not in (_LINEAR | _RECURRENT) or len(node.inputs) < 2:
            return False
        if node.op in _RECURRENT and not (self._own(node.inputs[2]) and node.outputs[0]):
            return False
        if node.op == "Conv" and node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", ""):
            return False
        return self._own(node.inputs[1]) and node.inputs[0] not in self.facts.constant

    def _own(self, name: str) -> bool:
        tensor = self.facts.weights.get(name)
        return tensor is not None and self.uses.get(name) == 1 and tensor.dtype == ir.DataType.FLOAT

    def segment(self, last: NodeFacts) -> Iterator[Segment]:
        """The segment that ends in `last`, if there is another linear operator in it."""
        tail, result = self._tail(last)
        inside = {n.name for n in tail}
        first: list[NodeFacts] = []
        between: list[NodeFacts] = []
        for node in reversed(self.facts.nodes[: self.place[last.name]]):
            outputs = [o for o in node.outputs if o]
            read = [r for o in outputs for r in self.readers.get(o, ())]
            closed = (
                read and all(r.name in inside for r in read) and not set(outputs) & set(self.facts.outputs)
            )
            if not closed or node.bodies:
                continue
            inside.add(node.name)
            (first if self.linear(node) else between).append(node)
            if self.linear(node):
                inside.discard(node.name)  # nothing before it belongs here
        if not first and last.op not in _RECURRENT:  # these have steps inside
            return
        moved = {o for n in first for o in n.outputs}
        chosen = list(first)
        for node in reversed(between):
            if any(n in moved for n in node.inputs):
                moved.update(node.outputs)
                chosen.append(node)
        if first and not any(n in moved for n in last.inputs):
            return
        nodes = sorted((*chosen, *tail), key=lambda n: self.place[n.name])
        if not all(differentiable(n) for n in nodes):
            return
        made = {o for n in nodes for o in n.outputs}
        read_names = dict.fromkeys(n for node in nodes for n in node.inputs if n and n not in made)
        weights = tuple(n for n in read_names if n in self.facts.weights and self._fitted(n, nodes))
        inputs = tuple(n for n in read_names if n not in self.facts.weights)
        beside, total = self._beside(result)
        yield Segment(tuple(nodes), inputs, weights, last.name, result, beside, total)

    def _tail(self, last: NodeFacts) -> tuple[list[NodeFacts], str]:
        """The operator and the addition of a bias behind it."""
        result = last.outputs[0]
        readers = self.readers.get(result, [])
        if len(readers) == 1 and readers[0].op == "Add" and result not in self.facts.outputs:
            other = next((n for n in readers[0].inputs if n != result), "")
            if self._own(other):
                return [last, readers[0]], readers[0].outputs[0]
        return [last], result

    def _fitted(self, name: str, nodes: list[NodeFacts]) -> bool:
        """Weights and biases of linear operators; scales and constants of formulas stay."""
        if not self._own(name):
            return False
        reader = next(n for n in nodes if name in n.inputs)
        if reader.op in _LINEAR | _RECURRENT:
            return reader.inputs[1:].count(name) == 1
        if reader.op != "Add" or not self.facts.weights[name].shape.rank():
            return False
        other = next((n for n in reader.inputs if n != name), "")
        before = self.producer.get(other)
        return before is not None and self.linear(before)

    def _beside(self, result: str) -> tuple[str, str]:
        readers = self.readers.get(result, [])
        if len(readers) != 1 or readers[0].op != "Add" or result in self.facts.outputs:
            return "", ""
        other = next((n for n in readers[0].inputs if n != result), "")
        if not other or other in self.facts.constant:
            return "", ""
        return other, readers[0].outputs[0]
