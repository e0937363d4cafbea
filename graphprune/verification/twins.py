"""Which initializer of a pruned file is which weight of the original.

Pruning keeps the names of nodes, so a weight is known by who reads it, at which place. Names of initializers
alone would not do: those that have become equal are stored once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.facts import read_graph
from graphprune.normalise import normalise

Twins = Mapping[str, NDArray[Any]]


def find_twins(analysis: Analysis, pruned: ir.Model) -> Twins:
    """The pruned model's values of the original's weights, by name; what is not found is left out."""
    facts = read_graph(normalise(pruned))
    nodes = {n.name: n for n in facts.all_nodes}
    found: dict[str, NDArray[Any]] = {}
    for node in analysis.facts.all_nodes:
        twin = nodes.get(node.name)
        if twin is None or twin.op != node.op:
            continue
        for name, other in zip(node.inputs, twin.inputs, strict=False):
            if name in analysis.facts.weights and other in facts.weights and name not in found:
                found[name] = facts.weights[other].numpy()
    for name in analysis.facts.weights:
        if name not in found and name in facts.weights:
            found[name] = facts.weights[name].numpy()
    return found
