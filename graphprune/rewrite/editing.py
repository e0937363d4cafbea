"""Small edits of an onnx-ir graph: constants, replaced inputs, inserted nodes, unique names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.normalise.bodies import all_bodies


class Editor:
    """Edits a graph and the bodies in it; every new value gets a name nobody has."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        every = list(ir.traversal.RecursiveGraphIterator(graph))
        self.nodes = {n.name: n for n in every}
        self._names = {v.name for n in every for v in n.outputs} | set(graph.initializers)
        self._names |= {v.name for g in (graph, *all_bodies(graph)) for v in g.inputs}
        self._node_names = set(self.nodes)

    def unique(self, base: str) -> str:
        """A value name that is not taken yet."""
        return _unique(base, self._names)

    def constant(self, value: NDArray[np.generic], name: str) -> ir.Value:
        """A new initializer of the outermost graph; bodies may read it too."""
        tensor = ir.Tensor(np.array(value, order="C"), name=self.unique(name))
        made = ir.Value(
            name=tensor.name,
            shape=ir.Shape(value.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(made)
        return made

    def node(
        self, op: str, inputs: Sequence[ir.Value], name: str, before: ir.Node, **attributes: int
    ) -> ir.Value:
        """A new node of the default domain with one output, placed before another node."""
        made = ir.node(op, list(inputs), attributes, name=_unique(name, self._node_names))
        made.outputs[0].name = self.unique(name)
        _graph_of(before).insert_before(before, made)
        self.nodes[made.name] = made
        return made.outputs[0]

    def node_after(self, op: str, inputs: Sequence[ir.Value], name: str, after: ir.Node) -> ir.Node:
        """The same, placed right behind another node."""
        made = ir.node(op, inputs=list(inputs), name=_unique(name, self._node_names))
        made.outputs[0].name = self.unique(name)
        _graph_of(after).insert_after(after, made)
        self.nodes[made.name] = made
        return made

    def set_input(self, node: ir.Node, index: int, value: ir.Value) -> None:
        """Make `value` an input of `node`, which may gain optional inputs before it."""
        if index >= len(node.inputs):
            node.resize_inputs(index + 1)
        node.replace_input_with(index, value)

    def give_out(self, value: ir.Value, instead: ir.Value) -> None:
        """Make `value` an output of its graph or body in the place, and under the name, of another."""
        graph = instead.graph
        if not isinstance(graph, ir.Graph):
            raise ValueError(f"value {instead.name!r} is in no graph")
        name, instead.name = instead.name, self.unique(f"{instead.name}_pruned")
        value.name, value.type, value.shape = name, instead.type, instead.shape
        for index, output in enumerate(graph.outputs):
            if output is instead:
                graph.outputs[index] = value


def _graph_of(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise ValueError(f"node {node.name!r} is in no graph")
    return node.graph


def _unique(base: str, taken: set[str | None]) -> str:
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name
