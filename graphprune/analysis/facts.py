"""Reads the graph: nodes in order with plain attributes, weights, what bodies capture, what is constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.load.view import bodies_of
from graphprune.normalise.sharing import SHARED_FROM
from graphprune.runtime.bodies import read_from_outside

RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
# Larger integer constants are tables of indices, never shapes.
_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node: names of its operands ("" where an optional one is missing) and its attributes."""

    name: str
    op: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    bodies: tuple[BodyFacts, ...] = ()

    @property
    def captured(self) -> tuple[str, ...]:
        """Values around the node that its bodies read."""
        return tuple(dict.fromkeys(name for body in self.bodies for name in body.captured))


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """A body of If, Loop or Scan; `captured` are the values of the graphs around it that it reads."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[NodeFacts, ...]
    captured: tuple[str, ...]

    @property
    def all_nodes(self) -> Iterator[NodeFacts]:
        """Its nodes and those of the bodies in it."""
        return _everywhere(self.nodes)


def _everywhere(nodes: Iterable[NodeFacts]) -> Iterator[NodeFacts]:
    for node in nodes:
        yield node
        for body in node.bodies:
            yield from body.all_nodes


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """A normalised model as plain data."""

    nodes: tuple[NodeFacts, ...]  # of the main graph; they hold their bodies
    inputs: tuple[str, ...]  # without those that are initializers
    outputs: tuple[str, ...]
    weights: Mapping[str, ir.TensorProtocol]
    constant: frozenset[str]  # tensors computed from weights alone
    stored: frozenset[str]  # those and, inside loops, tensors computed from weights and the turn alone
    shaped: frozenset[str]  # tensors computed from weights and shapes alone
    origin: Mapping[str, str]  # weights that normalising cloned -> the one initializer they came from

    @property
    def all_nodes(self) -> Iterator[NodeFacts]:
        """The nodes of the main graph and of every body, in order."""
        return _everywhere(self.nodes)

    def small_value(self, name: str) -> NDArray[np.generic] | None:
        """The value of a small initializer that holds integers or truth values."""
        tensor = self.weights.get(name)
        if tensor is None or tensor.size > _SMALL:
            return None
        if not tensor.dtype.is_integer() and tensor.dtype != ir.DataType.BOOL:
            return None
        return np.asarray(tensor.numpy())


def read_graph(model: ir.Model) -> GraphFacts:
    """The main graph of `model`, which must be normalised (unique names, no functions)."""
    graph = model.graph
    opsets = dict(graph.opset_imports or model.opset_imports)
    weights = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
    nodes = tuple(_node(n, opsets) for n in graph)
    constant, shaped = _origins(nodes, weights)
    return GraphFacts(
        nodes=nodes,
        inputs=tuple(v.name or "" for v in graph.inputs if v.name not in weights),
        outputs=tuple(v.name or "" for v in graph.outputs),
        weights=weights,
        constant=constant,
        stored=_stored(nodes, constant),
        shaped=shaped,
        origin={n: str(v.meta[SHARED_FROM]) for n, v in graph.initializers.items() if SHARED_FROM in v.meta},
    )


def _node(node: ir.Node, opsets: Mapping[str, int]) -> NodeFacts:
    domain = node.domain if node.domain != "ai.onnx" else ""
    return NodeFacts(
        name=node.name or "",
        op=node.op_type,
        domain=domain,
        version=opsets.get(domain, opsets.get("ai.onnx", 1) if domain == "" else 1),
        inputs=tuple("" if v is None else v.name or "" for v in node.inputs),
        outputs=tuple(v.name or "" for v in node.outputs),
        attributes=_attributes(node),
        bodies=tuple(_body(b, opsets) for b in bodies_of(node)),
    )


def _body(body: ir.Graph, opsets: Mapping[str, int]) -> BodyFacts:
    return BodyFacts(
        inputs=tuple(v.name or "" for v in body.inputs),
        outputs=tuple(v.name or "" for v in body.outputs),
        nodes=tuple(_node(n, opsets) for n in body),
        captured=tuple(v.name or "" for v in read_from_outside(body)),
    )


def _attributes(node: ir.Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, attribute in node.attributes.items():
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            found[name] = None
            continue
        value = attribute.value
        found[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


def _origins(
    nodes: Iterable[NodeFacts], weights: Mapping[str, ir.TensorProtocol]
) -> tuple[frozenset[str], frozenset[str]]:
    """Tensors computed from weights alone, and from weights and shapes alone."""
    constant, shaped = set(weights), set(weights)
    for node in _everywhere(nodes):
        if node.op in RANDOM or node.bodies:
            continue
        given = [n for n in node.inputs if n]
        if given and all(n in constant for n in given):
            constant.update(node.outputs)
        if node.op in ("Shape", "Size") or (given and all(n in shaped for n in given)):
            shaped.update(node.outputs)
    return frozenset(constant), frozenset(shaped)


_STATES = {"Loop": (2, 1), "Scan": (0, 0)}  # where they begin among the inputs and outputs of a body


def _stored(nodes: Iterable[NodeFacts], known: frozenset[str]) -> frozenset[str]:
    """`known` and all that is computed from it in these nodes, be it anew in every turn of a loop."""
    found = set(known)
    for node in nodes:
        for body in node.bodies:
            found |= _stored_inside(node, body, frozenset(found))
        given = [n for n in node.inputs if n]
        if node.op not in RANDOM and not node.bodies and given and found.issuperset(given):
            found.update(node.outputs)
    return frozenset(found)


def _stored_inside(node: NodeFacts, body: BodyFacts, known: frozenset[str]) -> frozenset[str]:
    """A loop hands its body the number of the turn, one piece of each stack, and states such as counters."""
    first_in, first_out = _STATES.get(node.op, (0, 0))
    inner = set(known)
    if node.op == "Loop":
        inner.add(body.inputs[0])
    given = list(zip(node.inputs[first_in:], body.inputs[first_in:], strict=False))
    count = len(given) - int(node.attributes.get("num_scan_inputs") or 0)
    inner.update(piece for stack, piece in given[count:] if stack in known)
    states = {k: given[k][1] for k in range(count) if given[k][0] in known}
    while True:
        found = _stored(body.nodes, frozenset((*inner, *states.values())))
        moved = [k for k in states if body.outputs[first_out + k] not in found]
        if not moved:
            return found
        for k in moved:  # what comes back depends on something else
            del states[k]
