"""What nobody needs any more once some operands are not read."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.links import Links

Operand = tuple[str, int]
"""Name of a node, and which of its inputs."""


def dead_code(
    facts: GraphFacts, links: Links, place: Mapping[str, int], unread: Collection[Operand]
) -> frozenset[str]:
    """Names of nodes and weights that no graph output needs when some operands are left out.

    Args:
        facts: the graph.
        links: who makes and reads its tensors.
        place: position of every node of the main graph, by name.
        unread: the operands that are left out.
    """
    gone: set[str] = set()
    inside: set[str] = set()
    given = set(facts.outputs)

    def needed(name: str) -> bool:
        return name in given or any(
            _reads(n, name, unread) for n in links.readers.get(name, ()) if n.name not in gone
        )

    # Readers come after makers, so the last are settled first.
    nodes = {n.name: n for n in facts.nodes}
    asked = {nodes[node].inputs[index] for node, index in unread}
    waiting = [-place[links.producer[n].name] for n in asked if n in links.producer]
    heapq.heapify(waiting)
    while waiting:
        node = facts.nodes[-heapq.heappop(waiting)]
        if node.name in gone or any(needed(o) for o in node.outputs if o):
            continue
        gone.add(node.name)
        inside.update(n.name for body in node.bodies for n in body.all_nodes)
        read = [n for n in (*node.inputs, *node.captured) if n]
        asked.update(read)
        for name in read:
            if name in links.producer:
                heapq.heappush(waiting, -place[links.producer[name].name])
    return frozenset(gone | inside | {n for n in asked if n in facts.weights and not needed(n)})


def _reads(node: NodeFacts, name: str, unread: Collection[Operand]) -> bool:
    if name in node.captured:
        return True
    return any(n == name and (node.name, k) not in unread for k, n in enumerate(node.inputs))
