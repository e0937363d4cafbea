"""Writes a decoder of any size straight to disk: its weights go to a file beside the model, never to memory.

    write_decoder(Path("big.onnx"), Size(layers=28, width=1536))

The graph is what exporters make of today's language models: grouped queries, rotary halves, RMS norms, a
gated feed-forward, an embedding that is the output layer too, free batch and sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PIECE = 1 << 20  # elements of random numbers that are in memory at a time


@dataclass(frozen=True, slots=True)
class Size:
    """Dimensions of a decoder; `heads` queries share `key_heads` keys and values."""

    layers: int = 28
    width: int = 1536
    hidden: int = 4096
    heads: int = 24
    key_heads: int = 8
    vocabulary: int = 32_000
    positions: int = 256

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def weight_bytes(self) -> int:
        """Bytes of the matrices, float32."""
        keys = self.key_heads * self.head
        layer = 2 * self.width * self.width + 2 * self.width * keys + 3 * self.width * self.hidden
        return 4 * (self.layers * layer + self.vocabulary * self.width)


@dataclass(slots=True)
class _Graph:
    """Nodes and weights under construction."""

    data: BinaryIO
    place: str
    hollow: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    pieces: dict[int, bytes] = field(default_factory=dict)

    def op(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node and return its output."""
        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def matrix(self, name: str, rows: int, columns: int) -> str:
        """A weight in the data file: random numbers of gain one, or a hole."""
        offset, length = self.data.tell(), 4 * rows * columns
        if self.hollow:
            self.data.truncate(offset + length)
            self.data.seek(offset + length)
        else:
            self._fill(len(self.weights), rows * columns, rows**-0.5)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[rows, columns])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self.place), ("offset", str(offset)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        self.weights.append(tensor)
        return name

    def _fill(self, seed: int, count: int, gain: float) -> None:
        draw = np.random.default_rng(seed)
        for start in range(0, count, _PIECE):
            piece = draw.standard_normal(min(_PIECE, count - start), dtype=np.float32)
            self.data.write((piece * np.float32(gain)).data)

    def stored(self, name: str, array: np.ndarray) -> str:
        """A small constant in the model file."""
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        """A constant vector of integers; equal ones are one."""
        name = "ints_" + "_".join(map(str, values)).replace("-", "m")
        if not any(weight.name == name for weight in self.weights):
            self.stored(name, np.asarray(values, np.int64))
        return name

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        """A product with a weight of its own."""
        return self.op("MatMul", x, self.matrix(name, rows, columns))

    def norm(self, x: str, name: str, width: int) -> str:
        """RMS norm, in the operators that exporters write."""
        square = self.op("Mul", x, x)
        mean = self.op("ReduceMean", square, self.ints(-1))
        root = self.op("Sqrt", self.op("Add", mean, "epsilon"))
        gains = np.random.default_rng(len(self.weights)).uniform(0.5, 1.5, width).astype(np.float32)
        return self.op("Mul", self.op("Div", x, root), self.stored(name, gains))


def write_decoder(path: Path, size: Size, *, hollow: bool = False) -> None:
    """Write `path` and, beside it, the file of its weights.

    Args:
        path: of the model.
        size: of the network.
        hollow: leave holes for the weights, which read as zeros and take no room on the disk.
    """
    place = path.name + ".data"
    with path.with_name(place).open("wb") as data:
        graph = _Graph(data, place, hollow)
        _build(graph, size)
    free = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "sequence"])]
    shape: list[str | int | None] = ["batch", "sequence", size.vocabulary]
    made = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
    whole = helper.make_graph(graph.nodes, "decoder", free, made, graph.weights)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())


def _build(graph: _Graph, size: Size) -> None:
    graph.stored("epsilon", np.array(1e-5, np.float32))
    graph.stored("scale", np.array(size.head**-0.5, np.float32))
    table = graph.matrix("embedding", size.vocabulary, size.width)
    x = graph.op("Gather", table, "tokens")
    cosine, sine, mask = _positions(graph, size)
    for layer in range(size.layers):
        x = _attention(graph, size, f"layers.{layer}.attention", x, (cosine, sine, mask))
        x = _feed_forward(graph, size, f"layers.{layer}.mlp", x)
    x = graph.norm(x, "norm.weight", size.width)
    graph.op("MatMul", x, graph.op("Transpose", table, perm=[1, 0]), name="logits")


def _positions(graph: _Graph, size: Size) -> tuple[str, str, str]:
    """Rotary tables and the causal mask, cut to the length of the sequence."""
    half = size.head // 2
    angles = np.outer(np.arange(size.positions), 10_000.0 ** (-np.arange(half) / half)).astype(np.float32)
    both = np.concatenate([angles, angles], axis=1)
    length = graph.op("Shape", "tokens", start=1, end=2)
    zero, first = graph.ints(0), graph.ints(0)
    cosine = graph.op("Slice", graph.stored("cosine", np.cos(both)), zero, length, first)
    sine = graph.op("Slice", graph.stored("sine", np.sin(both)), zero, length, first)
    square = np.triu(np.full((size.positions, size.positions), -1e4, np.float32), 1)
    rows = graph.op("Slice", graph.stored("mask", square), zero, length, first)
    return cosine, sine, graph.op("Slice", rows, zero, length, graph.ints(1))


def _attention(graph: _Graph, size: Size, name: str, x: str, tables: tuple[str, str, str]) -> str:
    cosine, sine, mask = tables
    repeats = size.heads // size.key_heads
    inner = graph.norm(x, f"{name}.norm", size.width)
    queries = _heads(graph, size, inner, f"{name}.q", size.heads)
    keys = _heads(graph, size, inner, f"{name}.k", size.key_heads)
    values = _heads(graph, size, inner, f"{name}.v", size.key_heads)
    queries = _rotated(graph, size, queries, cosine, sine)
    keys = _repeated(graph, size, _rotated(graph, size, keys, cosine, sine), repeats)
    values = _repeated(graph, size, values, repeats)
    scores = graph.op("MatMul", queries, graph.op("Transpose", keys, perm=[0, 1, 3, 2]))
    weights = graph.op("Softmax", graph.op("Add", graph.op("Mul", scores, "scale"), mask), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", weights, values), perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", mixed, graph.ints(0, 0, size.heads * size.head))
    return graph.op("Add", x, graph.linear(joined, f"{name}.o", size.heads * size.head, size.width))


def _heads(graph: _Graph, size: Size, x: str, name: str, heads: int) -> str:
    wide = graph.linear(x, name, size.width, heads * size.head)
    split = graph.op("Reshape", wide, graph.ints(0, 0, heads, size.head))
    return graph.op("Transpose", split, perm=[0, 2, 1, 3])


def _rotated(graph: _Graph, size: Size, x: str, cosine: str, sine: str) -> str:
    half, last = size.head // 2, graph.ints(3)
    low = graph.op("Slice", x, graph.ints(0), graph.ints(half), last)
    high = graph.op("Slice", x, graph.ints(half), graph.ints(size.head), last)
    turned = graph.op("Concat", graph.op("Neg", high), low, axis=-1)
    return graph.op("Add", graph.op("Mul", x, cosine), graph.op("Mul", turned, sine))


def _repeated(graph: _Graph, size: Size, x: str, repeats: int) -> str:
    """Each key head for all its query heads."""
    wide = graph.op("Unsqueeze", x, graph.ints(2))
    many = graph.op("Expand", wide, graph.ints(1, 1, repeats, 1, 1))
    return graph.op("Reshape", many, graph.ints(0, size.heads, -1, size.head))


def _feed_forward(graph: _Graph, size: Size, name: str, x: str) -> str:
    inner = graph.norm(x, f"{name}.norm", size.width)
    up = graph.linear(inner, f"{name}.up", size.width, size.hidden)
    gate = graph.linear(inner, f"{name}.gate", size.width, size.hidden)
    open_gate = graph.op("Mul", gate, graph.op("Sigmoid", gate))
    product = graph.op("Mul", up, open_gate)
    return graph.op("Add", x, graph.linear(product, f"{name}.down", size.hidden, size.width))
