"""Names: every node has one, and no name of a body hides one of the graph around it."""

from __future__ import annotations

import itertools

import onnx_ir as ir

from graphprune.load.tensors import all_graphs, all_nodes
from graphprune.load.view import bodies_of


def fresh_name(wanted: str, taken: set[str]) -> str:
    """Returns `wanted` or, if it is taken, `wanted_1`, `wanted_2` and so on; the result is taken then."""
    name = wanted
    for number in itertools.count(1):
        if name not in taken:
            break
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def value_names(model: ir.Model) -> set[str]:
    """Returns the name of every value in every graph."""
    return {name for graph in all_graphs(model) for value in own_values(graph) if (name := value.name)}


def own_values(graph: ir.Graph) -> list[ir.Value]:
    """Returns the values that a graph itself defines: inputs, initializers and node outputs."""
    values = {*graph.inputs, *graph.initializers.values()}
    return [
        *dict.fromkeys((*graph.inputs, *graph.initializers.values())),
        *(output for node in graph for output in node.outputs if output not in values),
    ]


def name_nodes(model: ir.Model) -> None:
    """Gives every node a name of its own, in place; the first node of a name keeps it.

    Nodes without one are called after their operator.
    """
    taken = {node.name for node in all_nodes(model) if node.name}
    seen: set[str] = set()
    for node in all_nodes(model):
        if not node.name or node.name in seen:
            node.name = fresh_name(node.name or node.op_type, taken)
        seen.add(node.name)


def separate_scopes(model: ir.Model) -> None:
    """Renames values inside bodies that hide a value of a graph around them, in place.

    Inlining can bring this about, and some exporters write it.
    """
    if any(True for _ in model.graph.subgraphs()):
        taken = value_names(model)
        _separate(model.graph, set(), taken)


def _separate(graph: ir.Graph, outside: set[str], taken: set[str]) -> None:
    for value in own_values(graph):
        if value.name and value.name in outside:
            value.name = fresh_name(value.name, taken)
    inside = outside | {value.name for value in own_values(graph) if value.name}
    for node in graph:
        for body in bodies_of(node):
            _separate(body, inside, taken)
