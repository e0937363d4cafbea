"""Which files a model is read from, known before it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from graphprune.errors import ModelError
from graphprune.load.inline import read_without_weights
from graphprune.load.parse import read_proto
from graphprune.load.proto_walk import all_graphs, all_nodes


def files_of(path: Path) -> tuple[Path, ...]:
    """Returns the file of a model and those of its external data; the first alone if it cannot be read."""
    try:
        lean = read_without_weights(path)
        model = read_proto(path) if lean is None else lean
    except (ModelError, OSError):
        return (path,)  # what is wrong with it is said when it is loaded
    places = {entry.value for t in _tensors(model) for entry in t.external_data if entry.key == "location"}
    # No file name holds a zero byte: such are notes for weights in the model file itself.
    return path, *(path.parent / place for place in sorted(places) if "\0" not in place)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in all_nodes(model):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
