"""A decoder of two layers with GroupQueryAttention and a cache, as exporters for generation write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS, GROUPS, WIDTH, WORDS, ROWS = 4, 2, 24, 40, 64
TOLD = ("inputs", "mask", "sum", "odd")
Array = np.ndarray[Any, np.dtype[Any]]


class _Graph:
    """Nodes and weights that are added one after the other."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self._draw = np.random.default_rng(3)

    def node(self, op: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        domain = "com.microsoft" if op == "GroupQueryAttention" else ""
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, value: Any) -> str:
        self.stored.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        values = self._draw.standard_normal(shape) / np.sqrt(shape[0])
        return self.constant(name, values.astype(np.float32))

    def gain(self, name: str) -> str:
        return self.constant(name, (1 + 0.3 * self._draw.standard_normal(WIDTH)).astype(np.float32))


def decoder(
    told: str = "inputs",
    *,
    packed: bool = False,
    rotary: bool = True,
    head: int = 16,
    past: bool = True,
    fixed: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """The decoder, with seeded random weights.

    Args:
        told: how it is told the lengths: `inputs` of their own, a `mask` of a length of its own, a mask whose
            length is the `sum` of two others, or an `odd` way that no reading of the graph explains.
        packed: queries, keys and values come out of one product.
        rotary: heads are turned by their positions.
        head: width of a head; the runtime takes multiples of 8, and of 16 with rotary pairs.
        past: with a cache that goes in and out.
        fixed: sizes of `batch`, `steps` and `past` that are not free.
    """
    sizes: dict[str, Any] = {"batch": "batch", "steps": "steps", "past": "past", **(fixed or {})}
    batch, steps, before = sizes["batch"], sizes["steps"], sizes["past"]
    g = _Graph()
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [batch, steps])]
    inputs += _lengths(g, told, batch)
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, steps, WORDS])]
    angles = np.arange(ROWS)[:, None] / 100.0 ** (np.arange(head // 2) / (head // 2))
    if rotary:
        g.constant("cos", np.cos(angles).astype(np.float32))
        g.constant("sin", np.sin(angles).astype(np.float32))
    x = g.node("Gather", [g.weight("words", WORDS, WIDTH), "input_ids"], "x")
    for k in range(2):
        normed = g.node("LayerNormalization", [x, g.gain(f"gain{k}")], f"normed{k}", axis=-1)
        widths = {"q": HEADS * head, "k": GROUPS * head, "v": GROUPS * head}
        if packed:
            qkv = [g.node("MatMul", [normed, g.weight(f"QKV{k}", WIDTH, sum(widths.values()))], f"qkv{k}")]
            qkv += ["", ""]
        else:
            qkv = [
                g.node("MatMul", [normed, g.weight(f"{n}_{k}", WIDTH, w)], f"{n}{k}")
                for n, w in widths.items()
            ]
        caches, kept = ["", ""], []
        if past:
            caches = [f"past_key_values.{k}.{kind}" for kind in ("key", "value")]
            kept = [f"present.{k}.{kind}" for kind in ("key", "value")]
            shape = [batch, GROUPS, before, head]
            inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in caches]
            shape = [batch, GROUPS, "all", head]
            outputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in kept]
        else:
            kept = [f"unread_key{k}", f"unread_value{k}"]
        read = [*qkv, *caches, "seqlens_k", "total_sequence_length", *(["cos", "sin"] if rotary else [])]
        attributes = {"num_heads": HEADS, "kv_num_heads": GROUPS, "do_rotary": int(rotary)}
        g.node("GroupQueryAttention", read, f"mixed{k}", *kept, **attributes)
        out = g.node("MatMul", [f"mixed{k}", g.weight(f"O{k}", HEADS * head, WIDTH)], f"out{k}")
        x = g.node("Add", [x, out], f"x{k}")
    g.node("MatMul", [x, g.weight("read", WIDTH, WORDS)], "logits")
    graph = helper.make_graph(g.nodes, "decoder", inputs, outputs, g.stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _lengths(g: _Graph, told: str, batch: int | str) -> list[onnx.ValueInfoProto]:
    """The inputs that tell how long sequences are, and the nodes behind them."""
    if told == "inputs":
        return [
            helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, [batch]),
            helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []),
        ]
    if told == "odd":
        one = g.constant("one", np.array([1], np.int32))
        g.node("Mul", ["lengths", one], "seqlens_k")
        g.node("ReduceMax", ["seqlens_k"], "longest", keepdims=0)
        g.node("Add", ["longest", one], "total_sequence_length")
        return [helper.make_tensor_value_info("lengths", TensorProto.INT32, [batch])]
    g.node("ReduceSum", ["attention_mask", g.constant("axis", np.array([1]))], "count", keepdims=0)
    g.node("Sub", ["count", "axis"], "last")
    g.node("Cast", ["last"], "seqlens_k", to=TensorProto.INT32)
    g.node("Shape", ["attention_mask"], "shape")
    g.node("Gather", ["shape", g.constant("second", np.array(1))], "total", axis=0)
    g.node("Cast", ["total"], "total_sequence_length", to=TensorProto.INT32)
    length = "span" if told == "mask" else "past + steps"
    return [helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [batch, length])]


def decoder_feeds(
    batch: int, steps: int, past: int, told: str = "inputs", head: int = 16
) -> dict[str, Array]:
    """Feeds of a `decoder` that agree with each other."""
    draw = np.random.default_rng((batch, steps, past))
    lengths: dict[str, Array] = {
        "inputs": {
            "seqlens_k": np.full(batch, past + steps - 1, np.int32),
            "total_sequence_length": np.array(past + steps, np.int32),
        },
        "odd": {"lengths": np.full(batch, past + steps - 1, np.int32)},
    }.get(told, {"attention_mask": np.ones((batch, past + steps), np.int64)})
    caches = {
        f"past_key_values.{k}.{kind}": draw.standard_normal((batch, GROUPS, past, head)).astype(np.float32)
        for k in range(2)
        for kind in ("key", "value")
    }
    return {"input_ids": draw.integers(0, WORDS, (batch, steps)), **lengths, **caches}
