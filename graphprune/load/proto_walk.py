"""Walks over the nested messages of a ModelProto."""

from __future__ import annotations

from collections.abc import Iterator

import onnx


def attribute_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yields the bodies of an If, Loop or Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Yields the main graph and every body, those inside functions too; functions are no graphs."""
    yield from _with_bodies(model.graph)
    for function in model.functions:
        for node in function.node:
            for body in attribute_graphs(node):
                yield from _with_bodies(body)


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of all graphs and functions."""
    for graph in all_graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _with_bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for body in attribute_graphs(node):
            yield from _with_bodies(body)
