"""Branches of a graph that belong to one slot: an expert that is written out node by node.

Where a slot of a dimension that experts compete along is read by itself (its share, its row of a mask), what
follows is nothing once the expert is removed: zeros, or no rows at all. Such a branch ends where nothing is
added to a running sum or written into it; there it can be bypassed, and the whole expert is dead code. If a
branch ends anywhere else, the dimension is frozen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.dims import Atom, Dim
from graphprune.dims.expr import take
from graphprune.rules import find_rule
from graphprune.rules.effects import Branch, Effect, Joined

_WRITING = frozenset({"ScatterND", "ScatterElements", "Scatter"})
_PICKING = frozenset({"Gather", "GatherND", "GatherElements"})
_SMALL = 1 << 16  # elements of a constant that is looked at
_STRETCHING = frozenset({"Expand", "Cast", "CastLike", "Identity", "Reshape", "Unsqueeze", "Tile"})
_PRODUCTS = frozenset({"MatMul", "Gemm", "Einsum"})


class Void(Enum):
    """What a tensor of a removed branch holds."""

    ZEROS = "zeros"
    NO_ROWS = "no rows"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of experts that are written out one by one.

    Attributes:
        frozen: atoms with a slot whose branch cannot be left out, each with the reason.
        owners: for weights and nodes (by name) that only one slot needs, that slot.
    """

    frozen: Mapping[int, str]
    owners: Mapping[str, Dim]


def find_branches(
    facts: GraphFacts,
    shapes: Mapping[str, tuple[int, ...]],
    effects: Sequence[Effect],
    lifted: Mapping[str, Mapping[int, int]],
) -> Written:
    """Follow the branch of every slot that is read, or joined to others, by itself.

    Args:
        facts: the graph.
        shapes: recorded shapes.
        effects: what the rules said.
        lifted: for each tensor the atoms whose removed slots do not hold zero.
    """
    read: dict[tuple[Atom, int], list[str]] = {}
    joins: dict[Atom, list[str]] = {}
    for effect in effects:
        if isinstance(effect, Branch) and isinstance(effect.dim, Atom):
            read.setdefault((effect.dim, effect.slot), []).append(effect.node)
        elif isinstance(effect, Joined) and isinstance(effect.dim, Atom):
            joins.setdefault(effect.dim, []).append(effect.node)
            for slot in range(effect.dim.size):
                read.setdefault((effect.dim, slot), [])
    frozen: dict[int, str] = {}
    owners: dict[str, Dim] = {}
    if not read:
        return Written(frozen, owners)
    nodes, flow = {n.name: n for n in facts.all_nodes}, _Flow(facts, shapes)
    for (atom, slot), seeds in read.items():
        for node in (nodes[s] for s in seeds):
            if node.op != "Equal" and lifted.get(node.inputs[0], {}).get(atom.id):
                frozen.setdefault(atom.id, f'read slot by slot by {node.op} "{node.name}"')
        walk = _Walk(flow, set(seeds))
        ends = dict(walk.run())
        if walk.stuck:
            frozen.setdefault(atom.id, walk.stuck)
        elif not flow.place.keys() >= set(joins.get(atom, ())):
            frozen.setdefault(atom.id, "single slots are joined in a body")
        else:
            alone = flow.needed_only_by(walk, ends, dict.fromkeys(joins.get(atom, ()), slot))
            owners.update(dict.fromkeys(alone, take(atom, [slot])))
    return Written(frozen, owners)


def branch_ends(
    facts: GraphFacts, shapes: Mapping[str, tuple[int, ...]], seeds: set[str]
) -> tuple[list[tuple[str, int]], str]:
    """Where the branches of some slots end.

    Args:
        facts: the graph.
        shapes: recorded shapes.
        seeds: names of the nodes that read the slots.

    Returns:
        Names of nodes that take nothing from the branches, each with the input that its output then equals;
        and why the branches cannot be left out, or an empty string.
    """
    walk = _Walk(_Flow(facts, shapes), seeds)
    return list(walk.run()), walk.stuck


class _Flow:
    """Who reads what, in graph order: a branch is short, the graph is long."""

    def __init__(self, facts: GraphFacts, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.facts, self.shapes = facts, shapes
        self.place = {n.name: k for k, n in enumerate(facts.nodes)}
        self.maker = {o: k for k, n in enumerate(facts.nodes) for o in n.outputs if o}
        self.readers: dict[str, list[int]] = {}
        for k, node in enumerate(facts.nodes):
            for name in (*node.inputs, *node.captured):
                self.readers.setdefault(name, []).append(k)

    def needed_only_by(self, walk: _Walk, ends: Mapping[str, int], joins: Mapping[str, int]) -> set[str]:
        """Names of nodes and weights that nobody needs once a branch is left out.

        Args:
            walk: the branch.
            ends: nodes where it ends, with the input that stays.
            joins: nodes that join the slot to others, with its operand.
        """
        nodes = self.facts.nodes
        gone = {self.maker[n] for n in walk.state}
        places = [self.place[n] for n in (*ends, *joins)]
        asked = {n for k in (*gone, *places) for n in nodes[k].inputs}

        def unread(name: str) -> bool:
            for reader in self.readers.get(name, ()):
                node = nodes[reader]
                left = [k for k, n in enumerate(node.inputs) if n == name]
                if node.name in ends and ends[node.name] not in left and name not in node.captured:
                    continue
                if node.name in joins and left == [joins[node.name]]:
                    continue
                if reader not in gone:
                    return False
            return name not in self.facts.outputs

        # Readers come after makers, so the last are settled first.
        waiting = [-self.maker[n] for n in asked if n in self.maker]
        heapq.heapify(waiting)
        while waiting:
            place = -heapq.heappop(waiting)
            if place not in gone and all(unread(n) for n in nodes[place].outputs if n):
                gone.add(place)
                inputs = (*nodes[place].inputs, *nodes[place].captured)
                asked.update(inputs)
                for name in inputs:
                    if name in self.maker:
                        heapq.heappush(waiting, -self.maker[name])
        weights = {n for n in asked if n not in self.maker and n in self.facts.weights and unread(n)}
        return {nodes[k].name for k in gone} | weights


class _Walk:
    """One branch: from the nodes that read the slot to those that take nothing from it."""

    def __init__(self, flow: _Flow, seeds: set[str]) -> None:
        self.flow, self.facts, self.shapes, self.seeds = flow, flow.facts, flow.shapes, seeds
        self.state: dict[str, Void] = {}
        self.stuck = ""

    def run(self) -> Iterator[tuple[str, int]]:
        """The nodes where the branch ends, each with the input that its output then equals."""
        if not self.seeds <= self.flow.place.keys():
            self.stuck = "a single slot is read in a body"
            return
        waiting = sorted(self.flow.place[s] for s in self.seeds)
        seen = set(waiting)
        while waiting:
            node = self.facts.nodes[heapq.heappop(waiting)]
            yield from self._visit(node)
            for name in node.outputs:
                for reader in self.flow.readers.get(name, ()) if name in self.state else ():
                    if reader not in seen:
                        seen.add(reader)
                        heapq.heappush(waiting, reader)
        if reached := [n for n in self.facts.outputs if n in self.state]:
            self.stuck = (
                f'what a single slot is used for cannot be left out: it reaches output "{reached[0]}"'
            )

    def _visit(self, node: NodeFacts) -> Iterator[tuple[str, int]]:
        if node.name in self.seeds:
            self.state[node.outputs[0]] = Void.ZEROS
            return
        plain = not node.bodies and not node.domain
        if plain and (end := self._end(node)) is not None:
            yield node.name, end
            return
        held = self._held(node) if plain else Void.ANYTHING
        self.state.update({n: held for n in node.outputs if n})

    def _end(self, node: NodeFacts) -> int | None:
        """The input that the output equals if the branch brings nothing; None if the branch goes on."""
        held = [self.state.get(n) for n in node.inputs]
        outside = [k for k, v in enumerate(held) if v is None and node.inputs[k]]
        end: int | None = None
        match node.op:
            case "Add" | "Sum" if len(outside) == 1 and Void.ZEROS in held:
                inside = [v for v in held if v is not None]
                end = outside[0] if set(inside) == {Void.ZEROS} else None
            case "Sub" if outside == [0] and held[1] is Void.ZEROS:
                end = 0
            case "Where" if held[0] is Void.ZEROS and held[2] is None and not self._is_zero(node.inputs[2]):
                end = 2
            case op if op in _WRITING and held[0] is None:
                added = node.attributes.get("reduction") == "add" and held[2] is Void.ZEROS
                end = 0 if added or Void.NO_ROWS in held[1:] else None
        if end is None or node.outputs[0] in self.facts.outputs:
            return None
        same = self.shapes.get(node.inputs[end]) == self.shapes.get(node.outputs[0])
        return end if same else None

    def _held(self, node: NodeFacts) -> Void:
        held = [self.state.get(n) for n in node.inputs]
        rule = find_rule(node.domain, node.op)
        if node.op == "NonZero":
            return Void.NO_ROWS if held[0] is Void.ZEROS else Void.ANYTHING
        if node.op in _PICKING:
            return Void.NO_ROWS if Void.NO_ROWS in held else held[0] or Void.ANYTHING
        if node.op in _PRODUCTS:
            return self._product(node, held)
        if rule is None or (node.op.startswith("Reduce") and held[0] is not Void.ZEROS):
            return Void.ANYTHING
        if node.op == "Where" and held[0] is Void.ZEROS:
            return Void.ZEROS if held[2] is Void.ZEROS or self._is_zero(node.inputs[2]) else Void.ANYTHING
        if node.op == "Concat":
            return held[0] if held[0] is not None and len(set(held)) == 1 else Void.ANYTHING
        match rule.zero:
            case "keep":
                return held[0] or Void.ANYTHING
            case "all" if Void.NO_ROWS in held or Void.ZEROS in held:
                return Void.NO_ROWS if Void.NO_ROWS in held else Void.ZEROS
            case "any" | "divide" | "lift" if Void.NO_ROWS in held and node.op not in _WRITING:
                return Void.NO_ROWS  # slot by slot: no rows stay no rows
            case "any" if set(held) == {Void.ZEROS}:
                return Void.ZEROS
            case "divide":
                return held[0] or Void.ANYTHING
        return Void.ANYTHING

    def _is_zero(self, name: str) -> bool:
        """True of a small constant of zeros, and of one that is stretched at run time."""
        tensor = self.facts.weights.get(name)
        if tensor is not None:
            return bool(tensor.size <= _SMALL and not tensor.numpy().any())
        node = self.facts.nodes[self.flow.maker[name]] if name in self.flow.maker else None
        if node is None or node.domain:
            return False
        if node.op == "ConstantOfShape":
            value = node.attributes.get("value")
            return value is None or not value.numpy().any()
        return node.op in _STRETCHING and self._is_zero(node.inputs[0])

    def _product(self, node: NodeFacts, held: Sequence[Void | None]) -> Void:
        if Void.ZEROS in held[:2] and len(node.inputs) == 2:
            return Void.ZEROS
        rows = held[0] is Void.NO_ROWS and node.inputs[1] in self.facts.constant
        return (
            Void.NO_ROWS
            if rows and node.op != "Einsum" and not node.attributes.get("transA")
            else Void.ANYTHING
        )
