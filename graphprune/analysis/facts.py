"""Reads the graph: nodes in order with plain attributes, weights, what bodies capture, what is constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.normalise.sharing import SHARED_FROM

RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"})
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
    captured: tuple[str, ...]  # values of this graph that bodies of the node read


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """The main graph of a normalised model as plain data."""

    nodes: tuple[NodeFacts, ...]
    inputs: tuple[str, ...]  # without those that are initializers
    outputs: tuple[str, ...]
    weights: Mapping[str, ir.TensorProtocol]
    constant: frozenset[str]  # tensors computed from weights alone
    shaped: frozenset[str]  # tensors computed from weights and shapes alone
    origin: Mapping[str, str]  # weights that normalising cloned -> the one initializer they came from

    def small_value(self, name: str) -> NDArray[np.generic] | None:
        """The value of a small integer initializer."""
        tensor = self.weights.get(name)
        if tensor is None or tensor.size > _SMALL or not tensor.dtype.is_integer():
            return None
        return np.asarray(tensor.numpy())


def read_graph(model: ir.Model) -> GraphFacts:
    """The main graph of `model`, which must be normalised (unique names, no functions)."""
    graph = model.graph
    opsets = dict(graph.opset_imports or model.opset_imports)
    weights = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
    known = {id(v) for v in graph.inputs} | {id(v) for v in graph.initializers.values()}
    nodes: list[NodeFacts] = []
    for node in graph:
        known |= {id(v) for v in node.outputs}
    for node in graph:
        domain = node.domain if node.domain != "ai.onnx" else ""
        nodes.append(
            NodeFacts(
                name=node.name or "",
                op=node.op_type,
                domain=domain,
                version=opsets.get(domain, opsets.get("ai.onnx", 1) if domain == "" else 1),
                inputs=tuple("" if v is None else v.name or "" for v in node.inputs),
                outputs=tuple(v.name or "" for v in node.outputs),
                attributes=_attributes(node),
                captured=tuple(dict.fromkeys(_captured(node, known))),
            )
        )
    constant, shaped = _origins(nodes, weights)
    return GraphFacts(
        nodes=tuple(nodes),
        inputs=tuple(v.name or "" for v in graph.inputs if v.name not in weights),
        outputs=tuple(v.name or "" for v in graph.outputs),
        weights=weights,
        constant=constant,
        shaped=shaped,
        origin={n: str(v.meta[SHARED_FROM]) for n, v in graph.initializers.items() if SHARED_FROM in v.meta},
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


def _captured(node: ir.Node, known: set[int]) -> Iterator[str]:
    for attribute in node.attributes.values():
        graphs = (
            [attribute.value]
            if attribute.type == ir.AttributeType.GRAPH
            else attribute.value
            if attribute.type == ir.AttributeType.GRAPHS
            else []
        )
        for body in graphs:
            for inner in ir.traversal.RecursiveGraphIterator(body):
                yield from (v.name or "" for v in inner.inputs if v is not None and id(v) in known)
            yield from (v.name or "" for v in body.outputs if id(v) in known)


def _origins(
    nodes: list[NodeFacts], weights: Mapping[str, ir.TensorProtocol]
) -> tuple[frozenset[str], frozenset[str]]:
    """Tensors computed from weights alone, and from weights and shapes alone."""
    constant, shaped = set(weights), set(weights)
    for node in nodes:
        if node.op in RANDOM or node.captured:
            continue
        given = [n for n in node.inputs if n]
        if all(n in constant for n in given):
            constant.update(node.outputs)
        if node.op in ("Shape", "Size") or all(n in shaped for n in given):
            shaped.update(node.outputs)
    return frozenset(constant), frozenset(shaped)
