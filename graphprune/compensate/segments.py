"""Pieces of a network that can be fitted by themselves: linear operators that meet in one linear operator.

A segment ends in a linear operator with its bias and goes back through everything that only it reads, up to
the linear operators before. In a perceptron those are the layers around an activation, in attention the
projections of queries, keys and values and the one behind. Nothing else sees what happens inside, so all of
its weights may change as long as what comes out stays near the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.links import Links, read_by
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
    """

    nodes: tuple[NodeFacts, ...]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    last: str
    result: str
    beside: str


def find_segments(facts: GraphFacts) -> tuple[Segment, ...]:
    """The segments of a graph, in topological order of their ends; they may overlap there."""
    finder = _Finder(facts)
    found = (finder.segment(node) for node in facts.nodes if finder.linear(node))
    return tuple(s for s in found if s is not None)


class _Finder:
    def __init__(self, facts: GraphFacts) -> None:
        self.facts = facts
        self.place = {n.name: k for k, n in enumerate(facts.nodes)}
        self.links = Links.of(facts)

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
        return tensor is not None and self.links.uses.get(name) == 1 and tensor.dtype == ir.DataType.FLOAT

    def segment(self, last: NodeFacts) -> Segment | None:
        """The segment that ends in `last`, if there is another linear operator in it."""
        tail, result = self._tail(last)
        inside = {n.name for n in tail}
        first: list[NodeFacts] = []
        between: list[NodeFacts] = []
        for node in reversed(self.facts.nodes[: self.place[last.name]]):
            outputs = [o for o in node.outputs if o]
            read = [r for o in outputs for r in self.links.readers.get(o, ())]
            closed = (
                read and all(r.name in inside for r in read) and not set(outputs) & set(self.facts.outputs)
            )
            if not closed or node.bodies:
                continue
            if self.linear(node):
                first.append(node)  # nothing before it belongs here
            else:
                between.append(node)
                inside.add(node.name)
        if not first and last.op not in _RECURRENT:  # these have steps inside
            return None
        moved = {o for n in first for o in n.outputs}
        chosen = list(first)
        for node in reversed(between):
            if any(n in moved for n in node.inputs):
                moved.update(node.outputs)
                chosen.append(node)
        if first and not any(n in moved for n in last.inputs):
            return None
        nodes = sorted((*chosen, *tail), key=lambda n: self.place[n.name])
        if not all(differentiable(n) for n in nodes):
            return None
        read_names = read_by(nodes)
        weights = tuple(n for n in read_names if n in self.facts.weights and self._fitted(n, nodes))
        inputs = tuple(n for n in read_names if n not in self.facts.weights)
        return Segment(tuple(nodes), inputs, weights, last.name, result, self._beside(result))

    def _tail(self, last: NodeFacts) -> tuple[list[NodeFacts], str]:
        """The operator and the addition of a bias behind it."""
        result = last.outputs[0]
        added = self.links.added_to(result)
        if added is not None and result not in self.facts.outputs and self._own(added[1]):
            return [last, added[0]], added[0].outputs[0]
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
        before = self.links.producer.get(other)
        return before is not None and self.linear(before)

    def _beside(self, result: str) -> str:
        added = self.links.added_to(result)
        if added is None or result in self.facts.outputs or added[1] in self.facts.constant:
            return ""
        return added[1]
