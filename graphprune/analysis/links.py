"""Who makes a tensor of the main graph, and who reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphprune.analysis.facts import GraphFacts, NodeFacts


@dataclass(frozen=True, slots=True)
class Links:
    """Nodes of the main graph by the tensors they give and read.

    Attributes:
        producer: the node that gives a tensor.
        readers: the nodes that read a tensor, themselves or in a body, each once.
        uses: how often a tensor is read, in the main graph and in every body, as the result of one too.
    """

    producer: Mapping[str, NodeFacts]
    readers: Mapping[str, list[NodeFacts]]
    uses: Mapping[str, int]

    @classmethod
    def of(cls, facts: GraphFacts) -> Links:
        """The links of a graph."""
        readers: dict[str, list[NodeFacts]] = {}
        uses: dict[str, int] = {}
        for node in facts.nodes:
            for name in dict.fromkeys((*node.inputs, *node.captured)):
                readers.setdefault(name, []).append(node)
        for node in facts.all_nodes:
            for name in (*node.inputs, *(o for body in node.bodies for o in body.outputs)):
                uses[name] = uses.get(name, 0) + 1
        return cls({o: n for n in facts.nodes for o in n.outputs if o}, readers, uses)

    @classmethod
    def within(cls, facts: GraphFacts) -> Links:
        """The links of all graphs, bodies too: there, the nodes that read a tensor are those beside it."""
        readers: dict[str, list[NodeFacts]] = {}
        for node in facts.all_nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        producer = {o: n for n in facts.all_nodes for o in n.outputs if o}
        return cls(producer, readers, cls.of(facts).uses)

    def added_to(self, name: str) -> tuple[NodeFacts, str] | None:
        """The Add that is the only reader of a tensor, and its other operand."""
        readers = self.readers.get(name, [])
        if len(readers) != 1 or readers[0].op != "Add":
            return None
        other = next((n for n in readers[0].inputs if n != name), "")
        return (readers[0], other) if other else None


def read_by(nodes: Sequence[NodeFacts]) -> dict[str, None]:
    """The tensors that nodes read and do not make themselves, in the order in which they are read."""
    made = {o for n in nodes for o in n.outputs}
    return dict.fromkeys(n for node in nodes for n in node.inputs if n and n not in made)
