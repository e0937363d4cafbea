"""Pictures laid out for one processor (domain com.microsoft.nchwc), back in the usual layout.

ONNX Runtime's last optimisation stands channels side by side in blocks of 8 or 16, fills the last block up
with zeros and permutes the weights of convolutions. What lies between two changes of layout has the same
shapes in both: undoing it takes the weights back and replaces operators by those of the default domain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.runtime.blocked import block_size

DOMAIN = "com.microsoft.nchwc"
_FUSED = "com.microsoft"
_OLDEST = 11  # Resize came with this opset
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def undo_blocks(model: ir.Model) -> None:
    """Replaces all operators of com.microsoft.nchwc, in place; none of them where one is not known."""
    nodes = [n for n in model.graph if n.domain == DOMAIN]
    size = block_size() if nodes else None
    opset = model.graph.opset_imports.get("", 0)
    if size is None or opset < _OLDEST or not all(_is_known(n, size) for n in nodes):
        return
    for node in nodes:
        _WAYS[node.op_type](model.graph, node, size)
    model.graph.opset_imports.setdefault(_FUSED, 1)
    model.graph.opset_imports.pop(DOMAIN, None)


def _is_known(node: ir.Node, size: int) -> bool:
    """True if everything is there that the way back needs."""
    if node.op_type == "Conv":
        weight = node.inputs[1].const_value if node.inputs[1] is not None else None
        return weight is not None and weight.shape.numpy()[0] % size == 0
    if node.op_type == "ReorderInput":
        return _channels(node) is not None
    return node.op_type in _WAYS


def _channels(node: ir.Node) -> int | None:
    """How many channels come in, as far as the file says; it was written by the runtime itself."""
    source = node.inputs[0]
    shape = None if source is None else source.shape
    axis = 3 if _integer(node, "channels_last") else 1
    found = shape[axis] if shape is not None and len(shape) == 4 else None
    return found if isinstance(found, int) else None


def _integer(node: ir.Node, name: str) -> int:
    return node.attributes[name].as_int() if name in node.attributes else 0


# -- weights --------------------------------------------------------------------------------------


def plain_filter(array: NDArray[Any], size: int) -> NDArray[Any]:
    """A filter of shape (out, in, height, width) whose elements are in blocks, in the usual order.

    Few input channels stay as they are; otherwise these are in blocks too, inside the blocks of outputs.
    """
    out, into, high, wide = array.shape
    if into < size:
        blocks = array.reshape(out // size, into, high, wide, size)
        return blocks.transpose(0, 4, 1, 2, 3).reshape(array.shape)
    blocks = array.reshape(out // size, into // size, high, wide, size, size)
    return blocks.transpose(0, 5, 1, 4, 2, 3).reshape(array.shape)


def _unblocked(graph: ir.Graph, value: ir.Value, size: int) -> ir.Value:
    """The weight in the usual order, read when it is needed."""
    tensor = value.const_value
    assert tensor is not None
    name = _free(graph, f"{value.name}_plain")

    def make() -> ir.Tensor[Any]:
        return ir.Tensor(np.ascontiguousarray(plain_filter(tensor.numpy(), size)), name=name)

    shape = ir.Shape(tensor.shape.numpy())
    lazy = ir.LazyTensor(make, dtype=tensor.dtype, shape=shape, name=name)
    made = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=lazy)
    graph.register_initializer(made)
    return made


def _constant(graph: ir.Graph, value: NDArray[Any], base: str) -> ir.Value:
    name = _free(graph, base)
    tensor = ir.Tensor(value, name=name)
    made = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(made)
    return made


def _free(graph: ir.Graph, base: str) -> str:
    name, count = base, 1
    while name in graph.initializers:
        count += 1
        name = f"{base}_{count}"
    return name


# -- nodes ----------------------------------------------------------------------------------------


def _put(
    graph: ir.Graph,
    node: ir.Node,
    op: str,
    inputs: list[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    domain: str = "",
) -> ir.Value:
    """A new node in front of `node`."""
    made = ir.node(op, inputs, attributes or {}, domain=domain, name=f"{node.name}_{op}")
    graph.insert_before(node, made)
    return made.outputs[0]


def _replace(graph: ir.Graph, node: ir.Node, made: ir.Value) -> None:
    """`made` takes the place of the node's only result, and its name."""
    old = node.outputs[0]
    name, shape, kind = old.name, old.shape, old.type
    old.replace_all_uses_with(made, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    made.name = name
    made.shape = shape
    made.type = kind


def _conv(graph: ir.Graph, node: ir.Node, size: int) -> None:
    weight = node.inputs[1]
    assert weight is not None
    inputs = [node.inputs[0], _unblocked(graph, weight, size), *node.inputs[2:]]
    fused = "activation" in node.attributes or (len(inputs) > 3 and inputs[3] is not None)
    op, domain = ("FusedConv", _FUSED) if fused else ("Conv", "")
    _replace(graph, node, _put(graph, node, op, inputs, dict(node.attributes), domain))


def _namesake(graph: ir.Graph, node: ir.Node, size: int) -> None:
    _replace(graph, node, _put(graph, node, node.op_type, list(node.inputs), dict(node.attributes)))


def _upsample(graph: ir.Graph, node: ir.Node, size: int) -> None:
    scales = np.array(node.attributes["scales"].as_ints(), dtype=np.float32)
    kept = {k: v for k, v in node.attributes.items() if k in ("mode", "coordinate_transformation_mode")}
    kept["nearest_mode"] = ir.AttrString("nearest_mode", "floor")
    inputs = [node.inputs[0], None, _constant(graph, scales, f"{node.name}_scales")]
    _replace(graph, node, _put(graph, node, "Resize", inputs, kept))


def _reorder_input(graph: ir.Graph, node: ir.Node, size: int) -> None:
    """Channels first, filled up to whole blocks."""
    made = node.inputs[0]
    channels = _channels(node)
    assert made is not None
    assert channels is not None
    if _integer(node, "channels_last"):
        made = _put(graph, node, "Transpose", [made], {"perm": _TO_FIRST})
    if missing := -channels % size:
        pads = np.array([0, 0, 0, 0, 0, missing, 0, 0], dtype=np.int64)
        made = _put(graph, node, "Pad", [made, _constant(graph, pads, f"{node.name}_pads")])
    _replace(graph, node, _put(graph, node, "Identity", [made]))


def _reorder_output(graph: ir.Graph, node: ir.Node, size: int) -> None:
    """What filled the last block is left out."""
    made, channels = node.inputs[0], _integer(node, "channels")
    assert made is not None
    if channels % size:
        ends = (np.array([v], dtype=np.int64) for v in (0, channels, 1))
        slots = [
            _constant(graph, v, f"{node.name}_{k}") for k, v in zip(("from", "to", "axis"), ends, strict=True)
        ]
        made = _put(graph, node, "Slice", [made, *slots])
    if _integer(node, "channels_last"):
        made = _put(graph, node, "Transpose", [made], {"perm": _TO_LAST})
    _replace(graph, node, _put(graph, node, "Identity", [made]))


_WAYS: Mapping[str, Callable[[ir.Graph, ir.Node, int], None]] = {
    "Conv": _conv,
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"), _namesake),
    "Upsample": _upsample,
    "ReorderInput": _reorder_input,
    "ReorderOutput": _reorder_output,
}
