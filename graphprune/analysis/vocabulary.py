"""Vocabularies: tables looked up with ids from a graph input, and the outputs that speak of them.

An output axis as long as the only vocabulary of that size is taken for the same words. Both ends of the
model keep their sizes when rows go: ids are translated on the way in, and removed words come out as
impossible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from graphprune.analysis.facts import GraphFacts
from graphprune.dims import Atom, Dim, Solver
from graphprune.rules.effects import Effect, Lookup, Restored

_SHARES = frozenset({"Softmax", "Sigmoid"})  # their outputs say "impossible" with zero
_OLDEST = 13  # opset from which Pad takes its amounts and its value as inputs


def restored_outputs(
    facts: GraphFacts, dims: Mapping[str, tuple[Dim, ...]], effects: Iterable[Effect], solver: Solver
) -> Iterator[Restored]:
    """Ties output axes to vocabularies; what is tied need not be frozen, because it is restored."""
    words = {solver.resolve(e.dim) for e in effects if isinstance(e, Lookup)}
    makers = {o: n for n in facts.nodes for o in n.outputs}
    for name in facts.outputs:
        node, axes = makers.get(name), [solver.resolve(d) for d in dims.get(name, ())]
        if node is None or node.bodies or (not node.domain and node.version < _OLDEST):
            continue
        for word in words:
            alike = [k for k, d in enumerate(axes) if isinstance(d, Atom) and d.size == word.size]
            if len(alike) == 1 and isinstance(word, Atom) and _only(word, words):
                solver.unify(axes[alike[0]], word)
                fill = 0.0 if node.op in _SHARES else -math.inf
                yield Restored(name, alike[0], len(axes), word, fill)


def _only(word: Dim, words: Iterable[Dim]) -> bool:
    return [w.size for w in words].count(word.size) == 1
