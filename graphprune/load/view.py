"""The bare structure of a graph: names only, the same for a proto and for an `onnx_ir` model.

What is wrong with names must be found before `onnx_ir` reads a proto, because it repairs some faults
silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import onnx
import onnx_ir as ir

from graphprune.load.proto_walk import attribute_graphs


class AttributeView(NamedTuple):
    """An attribute: its type as in `onnx.AttributeProto`, and its value if that is a whole number."""

    name: str
    type: int
    is_ref: bool
    number: int | None


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: empty strings stand for omitted inputs and outputs."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bodies: tuple[GraphView, ...]
    overload: str
    attributes: tuple[AttributeView, ...]

    @property
    def function(self) -> tuple[str, str, str]:
        """The key of the model-local function that the node calls, if there is one."""
        return self.domain, self.op, self.overload

    def __str__(self) -> str:
        if self.name:
            return f"{self.op} '{self.name}'"
        made = next(filter(None, self.outputs), None)
        return f"the unnamed {self.op} that makes '{made}'" if made else f"an unnamed {self.op}"


@dataclass(frozen=True, slots=True)
class GraphView:
    """A graph, a body or a function: what it takes, holds, computes and gives."""

    where: str
    inputs: tuple[str, ...]
    initializers: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[NodeView, ...]

    def all_nodes(self) -> Iterator[NodeView]:
        """Yields the nodes of this graph and of every body in it."""
        for node in self.nodes:
            yield node
            for body in node.bodies:
                yield from body.all_nodes()


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its main graph, its functions by (domain, name, overload), and the opsets of each."""

    graph: GraphView
    functions: dict[tuple[str, str, str], GraphView]
    opsets: dict[str, int]
    function_opsets: dict[tuple[str, str, str], dict[str, int]]


def canonical(domain: str) -> str:
    """Returns the domain with its alias resolved: `ai.onnx` is the default domain."""
    return "" if domain == "ai.onnx" else domain


def view_proto(model: onnx.ModelProto) -> ModelView:
    """Returns the structure of a proto."""
    return ModelView(
        _graph_of_proto(model.graph, "the graph"),
        {_key(function): _function_of_proto(function) for function in model.functions},
        _opsets_of_proto(model.opset_import),
        {_key(function): _opsets_of_proto(function.opset_import) for function in model.functions},
    )


def view_ir(model: ir.Model) -> ModelView:
    """Returns the structure of an `onnx_ir` model."""
    return ModelView(
        _graph_of_ir(model.graph, "the graph"),
        {key: _graph_of_ir(f.graph, f"function '{f.name}'") for key, f in model.functions.items()},
        {canonical(domain): version for domain, version in model.opset_imports.items()},
        {
            key: {canonical(domain): version for domain, version in f.opset_imports.items()}
            for key, f in model.functions.items()
        },
    )


def _key(function: onnx.FunctionProto) -> tuple[str, str, str]:
    return canonical(function.domain), function.name, function.overload


def _opsets_of_proto(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Returns the version of each domain; of several entries for one the last counts, as in ONNX Runtime."""
    return {canonical(entry.domain): entry.version for entry in imports}


def _graph_of_proto(graph: onnx.GraphProto, where: str) -> GraphView:
    return GraphView(
        where,
        tuple(value.name for value in graph.input),
        tuple(tensor.name for tensor in graph.initializer)
        + tuple(sparse.values.name for sparse in graph.sparse_initializer),
        tuple(value.name for value in graph.output),
        tuple(_node_of_proto(node) for node in graph.node),
    )


def _function_of_proto(function: onnx.FunctionProto) -> GraphView:
    nodes = tuple(_node_of_proto(node) for node in function.node)
    return GraphView(f"function '{function.name}'", tuple(function.input), (), tuple(function.output), nodes)


def _node_of_proto(node: onnx.NodeProto) -> NodeView:
    where = f"a body of {node.op_type} '{node.name}'"
    return NodeView(
        node.name,
        node.op_type,
        canonical(node.domain),
        tuple(node.input),
        tuple(node.output),
        tuple(_graph_of_proto(body, where) for body in attribute_graphs(node)),
        node.overload,
        tuple(_attribute_of_proto(attribute) for attribute in node.attribute),
    )


def _attribute_of_proto(attribute: onnx.AttributeProto) -> AttributeView:
    number = attribute.i if attribute.type == onnx.AttributeProto.INT else None
    return AttributeView(attribute.name, attribute.type, bool(attribute.ref_attr_name), number)


def _graph_of_ir(graph: ir.Graph, where: str) -> GraphView:
    return GraphView(
        where,
        tuple(value.name or "" for value in graph.inputs),
        tuple(graph.initializers),
        tuple(value.name or "" for value in graph.outputs),
        tuple(_node_of_ir(node) for node in graph),
    )


def _node_of_ir(node: ir.Node) -> NodeView:
    where = f"a body of {node.op_type} '{node.name or ''}'"
    return NodeView(
        node.name or "",
        node.op_type,
        node.domain,
        tuple("" if value is None else value.name or "" for value in node.inputs),
        tuple(value.name or "" for value in node.outputs),
        tuple(_graph_of_ir(body, where) for body in bodies_of(node)),
        node.overload,
        tuple(_attribute_of_ir(attribute) for attribute in node.attributes.values()),
    )


def _attribute_of_ir(attribute: ir.Attr) -> AttributeView:
    number = attribute.value if attribute.type == ir.AttributeType.INT else None
    return AttributeView(attribute.name, int(attribute.type), attribute.is_ref(), number)


def bodies_of(node: ir.Node) -> Iterator[ir.Graph]:
    """Yields the bodies of an If, Loop or Scan."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()
