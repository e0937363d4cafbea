"""Networks of any depth, for measuring how time grows with the graph: stacks of equal blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 16
WIDTH, HEADS = 32, 4


@dataclass(slots=True)
class _Graph:
    """Nodes and weights under construction."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node and return the name of its output."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """A random weight of small gain."""
        array = self.draw.standard_normal(shape).astype(np.float32) / max(1, shape[-1])
        return self._stored(array)

    def ints(self, *values: int) -> str:
        """A constant vector of integers."""
        return self._stored(np.asarray(values, np.int64))

    def _stored(self, array: np.ndarray) -> str:
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def model(self, given: list[object], made: str, shape: list[object]) -> onnx.ModelProto:
        """The finished model with one input and one output of floats."""
        graph = helper.make_graph(
            self.nodes,
            "stack",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
            [helper.make_tensor_value_info(made, TensorProto.FLOAT, shape)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def residual(blocks: int) -> onnx.ModelProto:
    """Blocks of Conv, Relu, Conv, Add, Relu between a first and a last convolution."""
    g = _Graph()
    x = g.node("Conv", "x", g.weight(CHANNELS, 3, 1, 1))
    for _ in range(blocks):
        y = g.node("Relu", g.node("Conv", x, g.weight(CHANNELS, CHANNELS, 3, 3), pads=[1, 1, 1, 1]))
        y = g.node("Conv", y, g.weight(CHANNELS, CHANNELS, 1, 1))
        x = g.node("Relu", g.node("Add", x, y))
    return g.model(["N", 3, 4, 4], g.node("Conv", x, g.weight(4, CHANNELS, 1, 1)), ["N", 4, 4, 4])


def transformer(blocks: int) -> onnx.ModelProto:
    """Pre-norm blocks of attention and a two-layer perceptron, spelled out in 24 nodes."""
    g = _Graph()
    x = g.node("MatMul", "x", g.weight(8, WIDTH))
    for _ in range(blocks):
        x = g.node("Add", x, _attention(g, _norm(g, x)))
        hidden = g.node("Relu", g.node("MatMul", _norm(g, x), g.weight(WIDTH, 2 * WIDTH)))
        x = g.node("Add", x, g.node("MatMul", hidden, g.weight(2 * WIDTH, WIDTH)))
    return g.model(["N", 6, 8], g.node("MatMul", x, g.weight(WIDTH, 4)), ["N", 6, 4])


def _norm(g: _Graph, x: str) -> str:
    return g.node("LayerNormalization", x, g.weight(WIDTH), g.weight(WIDTH))


def _attention(g: _Graph, x: str) -> str:
    split = g.ints(0, 6, HEADS, WIDTH // HEADS)
    q, k, v = (g.node("Reshape", g.node("MatMul", x, g.weight(WIDTH, WIDTH)), split) for _ in range(3))
    scores = g.node(
        "MatMul", g.node("Transpose", q, perm=[0, 2, 1, 3]), g.node("Transpose", k, perm=[0, 2, 3, 1])
    )
    mixed = g.node("MatMul", g.node("Softmax", scores), g.node("Transpose", v, perm=[0, 2, 1, 3]))
    joined = g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), g.ints(0, 6, WIDTH))
    return g.node("MatMul", joined, g.weight(WIDTH, WIDTH))


STACKS: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "residual convolutions": residual,
    "transformer": transformer,
}
