"""Names in a graph: each defined once, defined before it is needed, and no circle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from graphprune.errors import ModelError
from graphprune.load.view import GraphView, ModelView, NodeView

T = TypeVar("T")


def check_structure(model: ModelView) -> None:
    """Raises ModelError if a graph is empty, or a name undefined, defined twice or defined by itself."""
    if not model.graph.nodes:
        raise ModelError("the model's graph has no nodes; there is nothing to prune, so export it again.")
    _check_graph(model.graph, frozenset())
    for function in model.functions.values():
        _check_graph(function, frozenset())
    _check_recursion(model)


def is_sorted(graph: GraphView) -> bool:
    """Whether every node of the graph and of its bodies comes after the nodes that it reads."""
    return _is_sorted(graph, {})


def _is_sorted(graph: GraphView, outside: Mapping[str, bool]) -> bool:
    made = {**outside, **dict.fromkeys((name for node in graph.nodes for name in node.outputs), False)}
    for node in graph.nodes:
        if not all(made.get(name, True) for name in node.inputs):
            return False
        if not all(_is_sorted(body, made) for body in node.bodies):
            return False
        made.update(dict.fromkeys(node.outputs, True))
    return True


def _check_graph(graph: GraphView, outside: frozenset[str]) -> None:
    producers = _check_unique(graph)
    here = producers.keys() | set(graph.inputs) | set(graph.initializers)
    known = outside | here
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in known:
                raise ModelError(
                    f"{node} reads tensor '{name}', which nothing in the model defines; export it again."
                )
        for body in node.bodies:
            _check_graph(body, known)
    for name in graph.outputs:
        if name not in here:
            raise ModelError(_undefined_output(graph, name, name in outside))
    if not is_sorted(graph):
        _check_acyclic(graph, producers)


def _undefined_output(graph: GraphView, name: str, is_outside: bool) -> str:
    if is_outside:
        return (
            f"{graph.where} gives back tensor '{name}' of the graph around it, which ONNX does not allow; "
            "put an Identity between."
        )
    return f"{graph.where} gives back tensor '{name}', which nothing defines; export the model again."


def _check_unique(graph: GraphView) -> dict[str, NodeView]:
    """Returns who makes each tensor, after making sure that there is only one definition of it."""
    for kind, names in (("input", graph.inputs), ("initializer", graph.initializers)):
        if twice := _first_repeated(names):
            raise ModelError(f"{graph.where} has two definitions of {kind} '{twice}'; remove or rename one.")
    given = {*graph.inputs, *graph.initializers}
    producers: dict[str, NodeView] = {}
    for node in graph.nodes:
        for name in filter(None, node.outputs):
            if name in given or name in producers:
                other = str(producers[name]) if name in producers else "an input or initializer"
                raise ModelError(
                    f"tensor '{name}' is defined twice in {graph.where}: by {node} and by {other}; "
                    "rename one, or export the model again."
                )
            producers[name] = node
    return producers


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            return name
        seen.add(name)
    return None


def _check_acyclic(graph: GraphView, producers: Mapping[str, NodeView]) -> None:
    """Raises ModelError that names the nodes of a circle; nodes that are merely out of order are fine."""
    index = {id(node): number for number, node in enumerate(graph.nodes)}
    edges = [
        (index[id(producers[name])], number)
        for number, node in enumerate(graph.nodes)
        for name in _reads(node)
        if name in producers
    ]
    if circle := _circle(edges):
        names = " -> ".join(str(graph.nodes[number]) for number in (*circle, circle[0]))
        raise ModelError(f"{graph.where} has a cycle: {names}; a graph must not depend on itself.")


def _reads(node: NodeView) -> set[str]:
    """Returns the names that a node needs, those of its bodies included (inner names do no harm)."""
    names = set(node.inputs)
    for body in node.bodies:
        inner = {*body.inputs, *body.initializers, *(o for n in body.nodes for o in n.outputs)}
        names |= {name for n in body.nodes for name in _reads(n)} - inner
    return names - {""}


def _circle(edges: Iterable[tuple[T, T]]) -> list[T]:
    import networkx as nx  # 100 ms, and needed for broken models only

    try:
        return [start for start, *_ in nx.find_cycle(nx.DiGraph(edges))]
    except (nx.NetworkXNoCycle, nx.NetworkXError):
        return []


def _check_recursion(model: ModelView) -> None:
    calls = [
        (caller, node.function)
        for caller, body in model.functions.items()
        for node in body.all_nodes()
        if node.function in model.functions
    ]
    if calls and (circle := _circle(calls)):
        names = " -> ".join(f"'{name}'" for _, name, _ in (*circle, circle[0]))
        raise ModelError(f"model-local functions call each other in a circle: {names}; this cannot be run.")
