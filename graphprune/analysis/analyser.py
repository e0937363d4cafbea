"""The dependency analyser: relates all axes of a model and reads the coupled groups off the result."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.branches import find_branches
from graphprune.analysis.deadcode import dead_code
from graphprune.analysis.exactness import inexact_atoms
from graphprune.analysis.facts import BodyFacts, GraphFacts, NodeFacts, read_graph
from graphprune.analysis.kinds import kinds_of
from graphprune.analysis.layers import Layer, find_layers
from graphprune.analysis.links import Links
from graphprune.analysis.pause import uncollected
from graphprune.analysis.pointers import Pointers
from graphprune.analysis.private import Summing, outer_atoms
from graphprune.analysis.steady import Steady
from graphprune.analysis.vocabulary import restored_outputs
from graphprune.analysis.weights import Weight, read_weights
from graphprune.dims import Atom, Const, Dim, Mismatch, Product, Solver, Sum, Take, atoms_in, atoms_of
from graphprune.dims.expr import atom_size
from graphprune.rules import Barrier, NodeContext, find_rule
from graphprune.rules.barriers import reason_without_rule
from graphprune.rules.effects import (
    Alternatives,
    Contraction,
    Effect,
    Entry,
    InputPositions,
    Joined,
    Kind,
    Lookup,
    Mixed,
    Normalised,
    Restored,
    Silent,
)
from graphprune.rules.notation import apply
from graphprune.runtime.recording import Recording

_log = logging.getLogger(__name__)
_DIMENSIONS = (Atom, Const, Product, Sum, Take)
LAYERS = "layers"  # the kind of groups that are whole layers


@dataclass(frozen=True, slots=True)
class Member:
    """An axis of a weight that mentions a group."""

    weight: str
    axis: int


@dataclass(frozen=True, slots=True)
class Group:
    """One prunable (or frozen) dimension with everything that mentions it.

    Attributes:
        atom: id within the analysis.
        key: stable name, from the first weight that has the dimension.
        size: number of slots.
        kind: "channels", "neurons", "heads", "kv-groups", "head-dim", "groups", "hidden", "experts", ...
        members: weight axes that shrink with it.
        frozen: why nothing can be removed, or "".
        approximate: why a removal is not exact, or "".
        outer: ids of atoms for each of whose slots it may keep other indices.
        least: how many slots must stay.
        asked: why it is cut only if its kind is asked for by name, or "".
    """

    atom: int
    key: str
    size: int
    kind: str
    members: tuple[Member, ...]
    frozen: str
    approximate: str
    outer: tuple[int, ...]
    least: int = 1
    asked: str = ""


@dataclass(frozen=True)
class Analysis:
    """Everything known about the dimensions of one (normalised) model."""

    facts: GraphFacts
    recording: Recording
    dims: Mapping[str, tuple[Dim, ...]]
    weights: Mapping[str, Weight]
    groups: tuple[Group, ...]
    effects: tuple[Effect, ...]
    barriers: Mapping[str, str] = field(default_factory=dict)  # node name -> reason
    owners: Mapping[str, Dim] = field(default_factory=dict)  # weight or node -> the one slot that needs it
    opened: frozenset[str] = (
        frozenset()
    )  # weights that are not in the original, see graphprune.statistics.biases
    steady: frozenset[str] = frozenset()  # computed sizes known to be static though one run tells nothing
    spared: int = 0  # multiply-adds of the original for rows that nobody reads
    layers: tuple[Layer, ...] = ()

    @cached_property
    def switches(self) -> tuple[Group, ...]:
        """Every layer as a group of one slot, which may go."""
        return tuple(Group(x.atom, x.key, 1, LAYERS, (), x.frozen, "", (), least=0) for x in self.layers)

    @cached_property
    def by_atom(self) -> Mapping[int, Group]:
        """Groups, and layers as groups, by the id of their atom."""
        return {g.atom: g for g in (*self.groups, *self.switches)}

    @cached_property
    def by_key(self) -> Mapping[str, Group]:
        """Groups, and layers as groups, by their stable name."""
        return {g.key: g for g in (*self.groups, *self.switches)}

    @cached_property
    def _dead(self) -> dict[frozenset[int], frozenset[str]]:
        return {frozenset(): frozenset()}

    def removed_layers(self, counts: Mapping[int, int]) -> frozenset[int]:
        """Atoms of the layers that keep nothing."""
        return frozenset(a for a, count in counts.items() if a < 0 and not count)

    def dead(self, removed: frozenset[int]) -> frozenset[str]:
        """Names of nodes and weights that nobody needs without some layers, by their atoms."""
        if removed not in self._dead:
            unread = frozenset().union(*(x.unread for x in self.layers if x.atom in removed))
            self._dead[removed] = dead_code(self.facts, self._links, self._places, unread)
        return self._dead[removed]

    def inner_groups(self, removed: frozenset[int]) -> frozenset[int]:
        """Atoms of the groups that live in some layers only: with them, they go."""
        dead = self.dead(removed)
        return frozenset(g.atom for g in self.groups if dead and {m.weight for m in g.members} <= dead)

    @cached_property
    def _links(self) -> Links:
        return Links.of(self.facts)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {n.name: k for k, n in enumerate(self.facts.nodes)}

    @cached_property
    def batch(self) -> int:
        """Size of the free first axis that all inputs share in the recording; 1 if there is none."""
        firsts = {self.recording.shapes[n][0] for n in self.facts.inputs if self._is_batched(n)}
        return firsts.pop() if len(firsts) == 1 else 1

    def _is_batched(self, name: str) -> bool:
        shape = self.recording.shapes.get(name)
        return bool(shape) and self.recording.dynamic(name)[0]

    @cached_property
    def atom_sizes(self) -> Mapping[int, int]:
        """Number of slots of every atom that occurs anywhere."""
        return {a: atom_size(d, a) for dims in self.dims.values() for d in dims for a in d.atoms}

    @cached_property
    def graph(self) -> nx.Graph[tuple[Any, ...]]:
        """The coupled groups as a graph.

        Nodes: `("group", key)`, `("axis", tensor, axis)` and `("operator", name)`. An axis is joined to
        the groups its expression mentions and to the operators that read or write its tensor.
        """
        graph: nx.Graph[tuple[Any, ...]] = nx.Graph()
        for group in self.groups:
            graph.add_node(("group", group.key), size=group.size, kind=group.kind, frozen=group.frozen)
        for name, dims in self.dims.items():
            for axis, dim in enumerate(dims):
                for atom in dim.atoms:
                    if atom in self.by_atom:
                        graph.add_edge(("axis", name, axis), ("group", self.by_atom[atom].key))
        for node in self.facts.all_nodes:
            graph.add_node(("operator", node.name), op=node.op)
            for name in (*node.inputs, *node.outputs):
                for axis in range(len(self.dims.get(name, ()))):
                    if ("axis", name, axis) in graph:
                        graph.add_edge(("operator", node.name), ("axis", name, axis))
        return graph

    def operators_of(self, group: Group) -> list[str]:
        """Names of the operators that a group runs through, in graph order."""
        axes = nx.neighbors(self.graph, ("group", group.key))
        names = {n[1] for axis in axes for n in nx.neighbors(self.graph, axis) if n[0] == "operator"}
        return [n.name for n in self.facts.all_nodes if n.name in names]


def analyse_model(model: ir.Model, recording: Recording) -> Analysis:
    """Relate all axes of a normalised model.

    Args:
        model: a model from `graphprune.normalise`.
        recording: the shapes of its tensors.
    """
    with uncollected():
        return _Analyser(read_graph(model), recording).run()


class _Analyser:
    def __init__(self, facts: GraphFacts, recording: Recording) -> None:
        self.facts, self.recording = facts, recording
        self.solver = Solver()
        self.dims: dict[str, tuple[Dim, ...]] = {}
        self.effects: list[Effect] = []
        self.barriers: dict[str, str] = {}
        self.pointers = Pointers(self.solver, facts.inputs)
        self.steady = None if recording.certain else Steady(facts, recording, self.solver)
        self.read = {*facts.outputs, *(n for x in facts.all_nodes for n in (*x.inputs, *x.captured))}
        self.read.update(n for x in facts.all_nodes for body in x.bodies for n in body.outputs)

    def run(self) -> Analysis:
        """Inputs, weights, nodes in order, outputs; then read off the groups."""
        for name in self.facts.inputs:
            why = f'an axis of graph input "{name}"'
            if (shape := self.recording.shapes.get(name)) is not None:
                self.dims[name] = tuple(Const(s, why) for s in shape)
        for name, tensor in self.facts.weights.items():
            self.dims[name] = dims = tuple(self.solver.fresh(int(s)) for s in tensor.shape.numpy())
            self.solver.stored.update(*(d.atoms for d in dims))
        for node in self.facts.nodes:
            self._relate(node)
        restored = list(restored_outputs(self.facts, self.dims, self.effects, self.solver))
        self.effects += restored
        whole = {(e.output, e.axis) for e in restored}
        for name in self.facts.outputs:
            for axis, dim in enumerate(self.dims.get(name, ())):
                if (name, axis) not in whole:
                    self.solver.freeze(dim, f'reaches graph output "{name}"')
            self.pointers.give_up([name], f'given out as graph output "{name}"')
        for where, reason in self.barriers.items():
            _log.debug('barrier "%s": %s', where, reason)
        resolved = {n: tuple(self.solver.resolve(d) for d in dims) for n, dims in self.dims.items()}
        found = _read_off(
            self.facts, self.recording, self.solver, resolved, tuple(self.effects), self.barriers
        )
        return found if self.steady is None else replace(found, steady=self.steady.names)

    # -- one node -----------------------------------------------------------------------------

    def _relate(self, node: NodeFacts) -> None:
        if node.bodies:
            self._enter(node)
            return
        rule = find_rule(node.domain, node.op)
        context = self._context(node)
        try:
            if rule is None:
                raise Barrier(reason_without_rule(node.domain, node.op))
            text = rule.relate if isinstance(rule.relate, str) else rule.relate(context)
            if text is not None:
                apply(context, text, rule)
            self._check(node, context)
        except Barrier as barrier:
            self._block(node, str(barrier))
            return
        except Mismatch as mismatch:  # no runtime has run this
            self._block(node, f"its operands do not fit: {mismatch}")
            return
        for index in context.unread():
            for dim in self.dims.get(node.inputs[index], ()):
                self.solver.freeze(dim, f"a parameter of {context.where}")
                if context.is_constant(index):  # what is computed is made by weights of some kind
                    context.kind(dim, "parameter")
        self.pointers.follow(node, context)
        self.effects += context.effects
        for name, dims in zip(node.outputs, context.outputs, strict=True):
            if name and dims is not None:
                self.dims[name] = dims
        if self.steady is not None:
            self.steady.follow(node, self.dims)

    # -- bodies -------------------------------------------------------------------------------

    def _enter(self, node: NodeFacts) -> None:
        """Follow the bodies of a node: what goes in and comes out is one dimension with its twin inside."""
        self.pointers.give_up(node.inputs, f'read by {node.op} "{node.name}"')
        try:
            match node.op:
                case "If":
                    made = self._branches(node)
                case "Loop":
                    self.dims |= dict.fromkeys(node.bodies[0].inputs[:2], ())  # turn and condition
                    made = self._turns(node, node.inputs[2:], node.bodies[0].inputs[2:], first_output=1)
                case "Scan":
                    made = self._scan(node)
                case _:
                    raise Barrier(reason_without_rule(node.domain, node.op))
        except Barrier as barrier:
            self._block(node, str(barrier))
            return
        for name, dims in zip(node.outputs, made, strict=True):
            shape = self.recording.shapes.get(name)
            if not name or shape is None:
                continue
            if dims is None or [d.size for d in dims] != list(shape):
                why = f'changes its shape in {node.op} "{node.name}"'
                for dim in dims or ():
                    self.solver.freeze(dim, why)
                dims = tuple(Const(int(s), why) for s in shape)
            self.dims[name] = tuple(dims)

    def _inside(self, node: NodeFacts, body: BodyFacts) -> list[tuple[Dim, ...] | None]:
        """Relate the nodes of a body; the dimensions of its outputs, None where they are unknown."""
        if any(n and n not in self.recording.shapes for x in body.nodes for n in x.outputs):
            why = f'a body of {node.op} "{node.name}" that could not be run by itself'
            for name in body.captured:
                for dim in self.dims.get(name, ()):
                    self.solver.freeze(dim, why)
            return [None] * len(body.outputs)
        for inner in body.nodes:
            self._relate(inner)
        return [self.dims.get(n) for n in body.outputs]

    def _branches(self, node: NodeFacts) -> list[tuple[Dim, ...] | None]:
        """If: the outputs of both branches are the outputs of the node."""
        branches = [self._inside(node, body) for body in node.bodies]
        return [self._agreed(node, list(twins)) for twins in zip(*branches, strict=True)]

    def _agreed(self, node: NodeFacts, twins: list[tuple[Dim, ...] | None]) -> tuple[Dim, ...] | None:
        """Several dimensions for one tensor made equal; frozen where they cannot be."""
        known = [t for t in twins if t is not None]
        sizes = {tuple(d.size for d in t) for t in known}
        if len(known) == len(twins) and len(sizes) == 1:
            for other in known[1:]:
                for a, b in zip(known[0], other, strict=True):
                    self.solver.unify(a, b)
            return known[0]
        for dim in (d for t in known for d in t):
            self.solver.freeze(dim, f'its size depends on the way taken in {node.op} "{node.name}"')
        return None

    def _turns(
        self, node: NodeFacts, states: Sequence[str], inner: Sequence[str], first_output: int
    ) -> list[tuple[Dim, ...] | None]:
        """What is carried from turn to turn is one dimension before, during and after all turns."""
        body = node.bodies[0]
        for name, state in zip(inner, states, strict=True):
            dims = self.dims.get(state)
            if dims is None or tuple(d.size for d in dims) != self.recording.shapes.get(name):
                raise Barrier("what it carries from turn to turn is not known")
            self.dims[name] = dims
        found = self._inside(node, body)[first_output:]
        if any(dims is None for dims in found):
            raise Barrier("its body could not be run by itself")
        carried = [self._agreed(node, [self.dims[s], d]) for s, d in zip(states, found, strict=False)]
        self.effects += [Kind(d, "hidden") for s in states for d in self.dims[s]]  # if it is nothing else
        collected = []
        count = len(node.outputs) - len(states)
        axes = node.attributes.get("scan_output_axes") or [0] * count
        for name, dims, axis in zip(node.outputs[len(states) :], found[len(states) :], axes, strict=True):
            at = int(axis) % (len(dims or ()) + 1)
            turns = (self.recording.shapes.get(name) or (1,) * (at + 1))[at]
            turned = Const(turns, f'turns of {node.op} "{node.name}"')
            collected.append((*(dims or ())[:at], turned, *(dims or ())[at:]))
        return [*carried, *collected]

    def _scan(self, node: NodeFacts) -> list[tuple[Dim, ...] | None]:
        """Scan: states like a Loop's, and inputs and outputs cut along one axis."""
        body = node.bodies[0]
        count = len(node.inputs) - int(node.attributes["num_scan_inputs"])
        if node.version < 9:
            raise Barrier("this form of Scan is not followed")
        axes = node.attributes.get("scan_input_axes") or [0] * (len(node.inputs) - count)
        for name, source, axis in zip(body.inputs[count:], node.inputs[count:], axes, strict=True):
            dims = self.dims.get(source)
            if dims is None:
                raise Barrier("the shape of an input is unknown")
            at = int(axis) % len(dims)
            self.solver.freeze(dims[at], f'cut into turns by Scan "{node.name}"')
            self.dims[name] = (*dims[:at], *dims[at + 1 :])
        return self._turns(node, node.inputs[:count], body.inputs[:count], first_output=0)

    def _context(self, node: NodeFacts) -> NodeContext:
        recording = self.recording
        return NodeContext(
            op=node.op,
            domain=node.domain,
            name=node.name,
            version=node.version,
            attributes=node.attributes,
            inputs=[self.dims.get(n) if n else None for n in node.inputs],
            present=[bool(n) for n in node.inputs],
            constant=[n in self.facts.constant for n in node.inputs],
            stored=[n in self.facts.stored for n in node.inputs],
            values=[self._value(n) for n in node.inputs],
            recorded=[self._recorded(n) for n in node.inputs],
            output_shapes=[recording.shapes.get(n) if n else None for n in node.outputs],
            output_dynamic=[recording.dynamic(n) if n in recording.shapes else None for n in node.outputs],
            solver=self.solver,
            pointed=self.pointers.of(node),
            ids=self.pointers.ids(node),
            said=self.effects,
        )

    def _value(self, name: str) -> NDArray[np.generic] | None:
        """What an integer tensor holds, if it follows from weights and static shapes."""
        if not name or name not in self.facts.shaped:
            return None
        if (value := self.facts.small_value(name)) is not None:
            return value
        first, second = self.recording.values.get(name), self.recording.values_second.get(name)
        if not (self.recording.certain or name in self.facts.constant or self._is_steady(name)):
            return None
        if first is None or second is None or not np.array_equal(first, second):
            return None
        return np.asarray(first)

    def _is_steady(self, name: str) -> bool:
        return self.steady is not None and self.steady.holds(name)

    def _recorded(self, name: str) -> tuple[NDArray[np.generic], ...]:
        """What a tensor that follows from weights and shapes alone held in both runs."""
        if name not in self.facts.shaped or not (self.recording.certain or self._is_steady(name)):
            return ()
        runs = (self.recording.values.get(name), self.recording.values_second.get(name))
        return () if runs[0] is None or runs[1] is None else (np.asarray(runs[0]), np.asarray(runs[1]))

    def _check(self, node: NodeFacts, context: NodeContext) -> None:
        """A rule that disagrees with what the runtime measured must not be believed.

        Nor may dimensions get lost on their way: behind a tensor of unknown shape nothing could freeze them.
        """
        for name, dims in zip(node.outputs, context.outputs, strict=True):
            shape = self.recording.shapes.get(name)
            if dims is not None and shape is not None and tuple(d.size for d in dims) != tuple(shape):
                raise Barrier(
                    f"its rule expects shape {[d.size for d in dims]}, the runtime gives {list(shape)}"
                )
            if dims is None and name in self.read:
                raise Barrier("the shape of what it makes is unknown")

    def _block(self, node: NodeFacts, reason: str) -> None:
        """Keep every slot that this node sees or makes."""
        why = f'{node.op} "{node.name}": {reason}'
        self.barriers[node.name] = reason
        inside = [n for body in node.bodies for x in body.all_nodes for n in (*x.inputs, *x.outputs)]
        for name in (*node.inputs, *node.captured, *inside):
            for dim in self.dims.get(name, ()):
                self.solver.freeze(dim, why)
        self.pointers.give_up((*node.inputs, *node.captured), f'read by {node.op} "{node.name}"')
        for name in node.outputs:
            if (shape := self.recording.shapes.get(name)) is not None:
                self.dims[name] = tuple(Const(int(s), why) for s in shape)


# -- reading off ------------------------------------------------------------------------------


def _read_off(
    facts: GraphFacts,
    recording: Recording,
    solver: Solver,
    dims: Mapping[str, tuple[Dim, ...]],
    effects: tuple[Effect, ...],
    barriers: Mapping[str, str],
) -> Analysis:
    effects = tuple(_resolved(e, solver) for e in effects)
    weights = read_weights(facts, dims)
    contractions: dict[str, list[Contraction]] = {}
    for effect in effects:
        if isinstance(effect, Contraction):
            contractions.setdefault(effect.node, []).append(effect)
    unmasked = frozenset(w.name for w in weights.values() if not w.masked)
    silent: dict[str, list[Silent]] = {}
    for effect in effects:
        if isinstance(effect, Silent):
            silent.setdefault(effect.node, []).append(effect)
    approximate, levels = inexact_atoms(facts, dims, contractions, unmasked, silent)
    for effect in effects:
        if isinstance(effect, Normalised):
            for atom in effect.dim.atoms:
                approximate.setdefault(atom, effect.why)
    competing = [e for e in effects if isinstance(e, Alternatives)]
    shared = atoms_in(
        e.dim for e in effects if isinstance(e, InputPositions | Alternatives | Joined | Lookup | Restored)
    )
    mixed = atoms_in(e.dim for e in effects if isinstance(e, Mixed | Normalised)) | solver.jumbled
    sums = [
        Summing(
            contractions[n.name],
            [dims.get(i, ()) for i in n.inputs],
            [d for o in n.outputs for d in dims.get(o, ())],
        )
        for n in facts.all_nodes
        if n.name in contractions
    ]
    outer = outer_atoms(dims.values(), shared, mixed, sums)
    kinds = kinds_of(effects, weights, facts, dims)
    least = {a: e.least for e in sorted(competing, key=lambda e: e.least) for a in e.dim.atoms}
    for effect in competing:
        crowded = effect.least > 1 and len(effect.dim.atoms) > 1
        for atom in effect.dim.atoms:
            if kinds.get(atom) in ("experts", "vocabulary") and not crowded:
                continue
            if effect.softly and kinds.get(atom) != "experts":
                approximate.setdefault(atom, effect.why)
            else:
                solver.frozen.setdefault(atom, effect.why)
    written = find_branches(facts, recording.shapes, effects, levels)
    for atom, why in written.frozen.items():
        solver.frozen.setdefault(atom, why)
    groups = _groups(weights, kinds, solver.frozen, approximate, outer, least)
    layers = find_layers(facts, recording, weights)
    switched = {x.weight: replace(weights[x.weight], layer=x.atom) for x in layers if not x.frozen}
    return Analysis(
        facts,
        recording,
        dims,
        weights | switched,
        groups,
        effects,
        barriers,
        written.owners,
        layers=layers,
    )


def _resolved(effect: Effect, solver: Solver) -> Effect:
    """The effect with its dimensions in their final form."""
    before = {f.name: getattr(effect, f.name) for f in fields(effect)}
    changed = {n: after for n, v in before.items() if (after := _final(v, solver)) is not v}
    return replace(effect, **changed) if changed else effect


def _final(value: Any, solver: Solver) -> Any:
    """A field of an effect with its dimensions resolved; the same object if there is nothing to resolve."""
    if isinstance(value, Entry):
        dim = solver.resolve(value.dim)
        return value if dim is value.dim else Entry(dim, value.offset)
    if isinstance(value, tuple):
        final = tuple(_final(v, solver) for v in value)
        return final if any(a is not b for a, b in zip(final, value, strict=True)) else value
    return solver.resolve(value) if isinstance(value, _DIMENSIONS) else value


def _groups(
    weights: Mapping[str, Weight],
    kinds: Mapping[int, str],
    frozen: Mapping[int, str],
    approximate: Mapping[int, str],
    outer: Mapping[int, tuple[int, ...]],
    least: Mapping[int, int],
) -> tuple[Group, ...]:
    members: dict[int, list[Member]] = {}
    sizes: dict[int, int] = {}
    for weight in weights.values():
        for axis, dim in enumerate(weight.dims):
            for atom in atoms_of(dim):
                members.setdefault(atom, []).append(Member(weight.name, axis))
                sizes.setdefault(atom, atom_size(dim, atom))
    keys: dict[int, str] = {}
    taken: dict[str, int] = {}
    for atom, found in members.items():
        first = next((m for m in found if not weights[m.weight].additive), found[0])
        base = f"{first.weight}[{first.axis}]"
        taken[base] = taken.get(base, 0) + 1
        keys[atom] = base if taken[base] == 1 else f"{base}.{taken[base]}"
    return tuple(
        Group(
            atom,
            keys[atom],
            sizes[atom],
            kinds[atom],
            tuple(found),
            frozen.get(atom, ""),
            approximate.get(atom, ""),
            () if any(weights[m.weight].made is not None for m in found) else outer.get(atom, ()),
            least.get(atom, 1),
            "what its ids stand for would change" if kinds[atom] == "vocabulary" else "",
        )
        for atom, found in members.items()
        if any(weights[m.weight].real for m in found) and kinds[atom] not in ("kernel", "parameter")
    )
