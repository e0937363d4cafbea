"""Runs a model stage by stage over many inputs, so that weights can change between stages.

A stage is all that can be computed once the linear operators of the stages before it are settled. Tensors
that later stages need wait in a store, in memory up to a budget and on disk beyond it. Two models of the
same graph can be run in step: the original, and one whose weights change as it goes; what has not changed is
computed once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import GraphFacts
from graphprune.runtime.bodies import read_from_outside, redirect
from graphprune.runtime.session import open_session

Array = NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Stage:
    """Nodes that run together, and the tensors that later stages or readers of this one need."""

    nodes: tuple[str, ...]
    keeps: frozenset[str]
    drops: frozenset[str]  # not needed any more when the stage is over


def plan_stages(facts: GraphFacts, settled: Collection[str]) -> list[Stage]:
    """Cut a graph into stages.

    Args:
        facts: the graph.
        settled: names of the operators that are settled one after the other.
    """
    level: dict[str, int] = {}
    of_node: dict[str, int] = {}
    for node in facts.nodes:
        given = max((level.get(n, 0) for n in (*node.inputs, *node.captured)), default=0)
        of_node[node.name] = given + (node.name in settled)
        for name in node.outputs:
            level[name] = of_node[node.name]
    last = max(of_node.values(), default=0)
    needed: dict[str, int] = {}
    for node in facts.nodes:
        for name in (*node.inputs, *node.captured):
            needed[name] = max(needed.get(name, 0), of_node[node.name])
    stages = []
    for k in range(last + 1):
        nodes = tuple(n.name for n in facts.nodes if of_node[n.name] == k)
        keeps = frozenset(n for n, at in level.items() if n and at == k and needed.get(n, -1) > k)
        drops = frozenset(name for name, until in needed.items() if until == k)
        stages.append(Stage(nodes, keeps, drops))
    return stages


class Store:
    """Tensors of every batch, on disk when memory is short: those are read each time they are asked for."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held = 0
        self._files = 0
        self._arrays: dict[tuple[str, int], Array | Path] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def put(self, name: str, batch: int, array: Array) -> None:
        """Keep an array."""
        self._forget(name, batch)
        if self._held + array.nbytes <= self._budget or array.dtype.kind in "OV":  # no file holds these
            self._held += array.nbytes
            self._arrays[name, batch] = array
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="graphprune-")
        path = Path(self._folder.name) / f"{self._files}.npy"
        self._files += 1
        np.save(path, array)
        self._arrays[name, batch] = path

    def get(self, name: str, batch: int) -> Array:
        """An array that was kept."""
        found = self._arrays[name, batch]
        return np.load(found) if isinstance(found, Path) else found

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._arrays

    def drop(self, names: frozenset[str], batches: int) -> None:
        """Forget arrays."""
        for name in names:
            for batch in range(batches):
                self._forget(name, batch)

    def close(self) -> None:
        """Forget everything."""
        self._arrays.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _forget(self, name: str, batch: int) -> None:
        found = self._arrays.pop((name, batch), None)
        if isinstance(found, Path):
            found.unlink()
        elif found is not None:
            self._held -= found.nbytes


class OnDemand(Sequence[Feeds]):
    """Feeds that are put together when they are asked for, so that one batch at a time is in memory."""

    def __init__(self, count: int, make: Callable[[int], Feeds]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Feeds: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Feeds]: ...

    def __getitem__(self, index: int | slice) -> Feeds | Sequence[Feeds]:
        if isinstance(index, slice):
            return [self._make(k) for k in range(self._count)[index]]
        return self._make(range(self._count)[index])


class StageModel:
    """Makes runnable models of some nodes of a graph, with some weights replaced."""

    def __init__(self, model: ir.Model, facts: GraphFacts) -> None:
        self.model = model
        self._nodes = {str(n.name): n for n in model.graph}
        self._facts = {n.name: n for n in facts.nodes}

    def inputs_of(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Tensors that nodes read and do not make themselves, weights left out."""
        made = {o for n in nodes for o in self._facts[n].outputs}
        read = (name for n in nodes for name in (*self._facts[n].inputs, *self._facts[n].captured))
        weights = self.model.graph.initializers
        return tuple(dict.fromkeys(n for n in read if n and n not in made and n not in weights))

    def _sizing(self, nodes: Sequence[str]) -> set[str]:
        """What the sizes that nodes resize to are made of: as many numbers as there are axes, in every batch.

        ONNX Runtime asks how many before it runs.
        """
        found: set[str] = set()
        for fact in (self._facts[n] for n in reversed(nodes)):
            if fact.op == "Resize":
                found.update(fact.inputs[1:])
            elif fact.op != "Shape" and not found.isdisjoint(fact.outputs):
                found.update(fact.inputs)
        return found

    def weight(self, name: str) -> Array:
        """The value of an initializer."""
        tensor = self.model.graph.initializers[name].const_value
        assert tensor is not None
        return np.asarray(tensor.numpy())

    def build(
        self,
        nodes: Sequence[str],
        outputs: Sequence[str],
        replaced: Mapping[str, Array],
        given: Feeds,
        free: Collection[str] = (),
    ) -> ir.Model:
        """The nodes as a model of their own.

        Args:
            nodes: names, in order.
            outputs: tensors to give.
            replaced: other values for some weights.
            given: one example of every input.
            free: weights that become inputs; inputs among them are ones already.
        """
        graph = self.model.graph
        values: dict[str, ir.Value] = {}
        inputs, weights = [], []
        sized = self._sizing(nodes)
        for name in dict.fromkeys((*self.inputs_of(nodes), *free)):
            array = given[name]
            value = ir.Value(
                name=name,
                type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
                shape=ir.Shape(array.shape if name in sized else [None] * array.ndim),
            )
            values[name] = value
            inputs.append(value)
        used = {n for node in nodes for n in (*self._facts[node].inputs, *self._facts[node].captured)}
        for name, initializer in graph.initializers.items():
            if name not in used or name in values or initializer.const_value is None:
                continue
            tensor: ir.TensorProtocol = initializer.const_value
            if name in replaced:
                tensor = ir.Tensor(replaced[name], name=name)
            values[name] = ir.Value(
                name=name,
                type=ir.TensorType(tensor.dtype),
                shape=ir.Shape(tensor.shape.numpy()),
                const_value=tensor,
            )
            weights.append(values[name])
        made = [self._clone(self._nodes[n], values) for n in nodes]
        small = ir.Graph(
            inputs,
            [values[n] for n in outputs],
            nodes=made,
            initializers=weights,
            opset_imports=dict(graph.opset_imports or self.model.opset_imports),
            name="stage",
        )
        return ir.Model(small, ir_version=self.model.ir_version)

    def _clone(self, node: ir.Node, values: dict[str, ir.Value]) -> ir.Node:
        attributes = []
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                body = attribute.as_graph().clone(allow_outer_scope_values=True)
                redirect(body, {v: values[str(v.name)] for v in read_from_outside(body)})
                attribute = ir.AttrGraph(attribute.name, body)
            attributes.append(attribute)
        clone = ir.Node(
            node.domain,
            node.op_type,
            [None if v is None else values[str(v.name)] for v in node.inputs],
            attributes,
            num_outputs=len(node.outputs),
            name=node.name,
            version=node.version,
        )
        for old, new in zip(node.outputs, clone.outputs, strict=True):
            new.name = old.name
            if old.name:
                values[old.name] = new
        return clone


def run_stage(
    builder: StageModel,
    nodes: Sequence[str],
    outputs: Sequence[str],
    replaced: Mapping[str, Array],
    batches: Sequence[Feeds],
) -> Iterator[dict[str, Array]]:
    """Outputs of a stage for every batch of its inputs."""
    if not nodes or not outputs:
        for _ in batches:
            yield {}
        return
    model = builder.build(nodes, outputs, replaced, batches[0])
    with open_session(model) as session:
        ports = {p.name for p in session.inputs}
        for feeds in batches:
            yield session.run({k: v for k, v in feeds.items() if k in ports}, list(outputs))
