"""Control flow: If, Loop and Scan, whose bodies read weights and tensors of the graph around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from graphfuzz.builder import Builder, Choices, Skip, Tensor


def _rows(x: Tensor) -> bool:
    return x.rank in (2, 3) and isinstance(x.shape[-1], int) and x.shape[-1] > 1


def _body(
    b: Builder, inputs: Sequence[onnx.ValueInfoProto], write: Callable[[], Sequence[str | Tensor]]
) -> onnx.GraphProto:
    """A graph of the nodes that `write` adds; its outputs are floats unless they are names."""
    around, b.nodes = b.nodes, []
    try:
        outputs = write()
        infos = [
            helper.make_tensor_value_info(o, TensorProto.BOOL, [])
            if isinstance(o, str)
            else helper.make_tensor_value_info(o.name, TensorProto.FLOAT, [None] * o.rank)
            for o in outputs
        ]
        return helper.make_graph(b.nodes, b.name("body"), list(inputs), infos)
    finally:
        b.nodes = around


def branch(b: Builder, r: Choices) -> None:
    """Two branches with layers of their own; a graph input chooses."""
    if b.opset < 13:
        raise Skip
    x = b.some(r, _rows)
    out = r.pick((x.static(-1), 6))
    flags = [i.name for i in b.inputs if i.type.tensor_type.elem_type == TensorProto.BOOL]
    if not flags:
        raise Skip
    condition = b.raw("Not", [flags[0]]) if r.chance(0.5) else flags[0]

    def deep() -> list[str | Tensor]:
        h = b.linear(r, x, r.pick((4, 8)))
        return [b.linear(r, b.op("Relu", [h], h.shape), out)]

    def flat() -> list[str | Tensor]:
        if out == x.static(-1) and r.chance(0.5):
            return [b.op("Tanh", [x], x.shape)]
        return [b.linear(r, x, out)]

    attributes = {"then_branch": _body(b, [], deep), "else_branch": _body(b, [], flat)}
    b.used.add(x.name)
    b.keep(b.op("If", [condition], (*x.shape[:-1], out), **attributes))


def loop(b: Builder, r: Choices) -> None:
    """A square layer applied two or three times; perhaps every state is kept."""
    if b.opset < 13:
        raise Skip
    x = b.some(r, _rows)
    w = b.weight(r, (x.static(-1), x.static(-1)), x.static(-1))
    step, going, state = b.name("step"), b.name("going"), Tensor(b.name("state"), x.shape)
    inputs = [
        helper.make_tensor_value_info(step, TensorProto.INT64, []),
        helper.make_tensor_value_info(going, TensorProto.BOOL, []),
        helper.make_tensor_value_info(state.name, TensorProto.FLOAT, [None] * x.rank),
    ]
    stacks = r.chance(0.3)

    def write() -> list[str | Tensor]:
        h = b.op("Tanh", [b.op("MatMul", [state, w], x.shape)], x.shape)
        if r.chance(0.5):
            h = b.op("Add", [h, x], x.shape)
        same = b.raw("Identity", [going])
        return [same, h, b.op("Identity", [h], h.shape)] if stacks else [same, h]

    times = r.number(2, 3)
    given = [b.ints(times), b.store(np.array(True), "true"), x]
    shapes = [x.shape, (times, *x.shape)] if stacks else [x.shape]
    y, *stacked = b.ops("Loop", given, shapes, body=_body(b, inputs, write))
    b.keep(y, *stacked)


def scan(b: Builder, r: Choices) -> None:
    """A recurrence spelled out: h = tanh(x W + h R), over the middle axis."""
    if b.opset < 13:
        raise Skip
    x = b.some(r, lambda t: t.rank == 3 and _rows(t))
    hidden, wide = r.pick((3, 4, 6)), x.static(2)
    n, length = x.shape[0], x.shape[1]
    w, again = b.weight(r, (wide, hidden), wide), b.weight(r, (hidden, hidden), hidden)
    batch = b.size_of(x, 0)
    zeros = b.raw("ConstantOfShape", [b.raw("Concat", [batch, b.ints([hidden])], axis=0)])
    state, row = Tensor(b.name("state"), (n, hidden)), Tensor(b.name("row"), (n, wide))
    inputs = [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, [None, None]) for t in (state, row)]

    def write() -> list[str | Tensor]:
        h = b.op("MatMul", [row, w], (n, hidden))
        h = b.op("Tanh", [b.op("Add", [h, b.op("MatMul", [state, again], h.shape)], h.shape)], h.shape)
        return [h, b.op("Identity", [h], h.shape)]

    turned = b.transpose(x, (1, 0, 2))
    shapes = [(n, hidden), (length, n, hidden)]
    last, states = b.ops("Scan", [zeros, turned], shapes, body=_body(b, inputs, write), num_scan_inputs=1)
    b.keep(b.transpose(states, (1, 0, 2)) if r.chance(0.7) else last)


MOVES = {"branch": branch, "loop": loop, "scan": scan}
