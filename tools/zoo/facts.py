"""What an ONNX file contains, for the index: sizes and operator counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import onnx


def describe(file: str) -> dict[str, Any]:
    """Return nodes (bodies and functions included), stored values, bytes and operator counts of a file."""
    model = onnx.load(file)
    ops = Counter(f"{node.domain or 'ai.onnx'}:{node.op_type}" for node in _nodes(model))
    return {
        "nodes": sum(ops.values()),
        "parameters": sum(prod(tensor.dims) for tensor in model.graph.initializer),
        "bytes": Path(file).stat().st_size,
        "ops": dict(sorted(ops.items())),
    }


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    stack: list[onnx.NodeProto] = list(model.graph.node)
    stack.extend(node for function in model.functions for node in function.node)
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                stack.extend(graph.node)
