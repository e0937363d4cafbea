"""What the nodes that read an input say about it: its rank, and sizes that only weights can tell.

Exporters from dynamic frameworks leave even the channel axis of an input free. The convolution that
reads it knows better.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

_UNKNOWN_RANK = 2

# A value passes through these unchanged in shape.
_SAME_SHAPE = frozenset(
    {"Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Dropout", "Relu", "Clip", "Not", "Neg", "Abs"}
)
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
_STORED_THROUGH = frozenset({"Identity", "Cast", "QuantizeLinear", "DequantizeLinear"})


def stored_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of a stored tensor, also when it is read through a cast or a dequantization."""
    for _ in range(8):
        if value is None:
            return None
        if value.const_value is not None:
            return tuple(value.const_value.shape.numpy())
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "Constant" and "value" in node.attributes:
            return tuple(node.attributes["value"].as_tensor().shape.numpy())
        if node.op_type == "Transpose":
            return _transposed(node)
        if node.op_type not in _STORED_THROUGH:
            return None
        value = node.inputs[0]
    return None


def stored_numbers(value: ir.Value | None, most: int = 1024) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The numbers of a stored tensor of at most `most` elements."""
    if value is None:
        return None
    tensor = value.const_value
    node = value.producer()
    if tensor is None and node is not None and node.op_type == "Constant":
        attributes = node.attributes
        if "value_int" in attributes:
            return np.asarray(attributes["value_int"].as_int())
        if "value_ints" in attributes:
            return np.asarray(attributes["value_ints"].as_ints())
        tensor = attributes["value"].as_tensor() if "value" in attributes else None
    if tensor is None or tensor.size > most or tensor.dtype == ir.DataType.STRING:
        return None
    return np.asarray(tensor.numpy())


def _transposed(node: ir.Node) -> tuple[int, ...] | None:
    shape = stored_shape(node.inputs[0])
    if shape is None:
        return None
    perm = permutation(node, len(shape))
    return tuple(shape[axis] for axis in perm)


def permutation(node: ir.Node, rank: int) -> tuple[int, ...]:
    """The axes of a Transpose, which reverses them by default."""
    attribute = node.attributes.get("perm")
    return tuple(attribute.as_ints()) if attribute is not None else tuple(reversed(range(rank)))


def guessed_rank(value: ir.Value) -> int:
    """The rank that the consumers of `value` need, or 2 when none of them says."""
    for node, position, _ in _readers(value, None):
        weight = stored_shape(node.inputs[1]) if len(node.inputs) > 1 else None
        if (
            position == 0
            and node.op_type in ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv")
            and weight
        ):
            return len(weight)
        if node.op_type in ("LSTM", "GRU", "RNN"):
            return 3
        if node.op_type == "Transpose" and "perm" in node.attributes:
            return len(node.attributes["perm"].as_ints())
    return _UNKNOWN_RANK


def known_sizes(value: ir.Value, rank: int) -> dict[int, int]:
    """Sizes of axes of the input `value` that the weights meeting it leave no choice about."""
    found: dict[int, int] = {}
    for node, position, axes in _readers(value, tuple(range(rank))):
        rule = _DEMANDS.get(node.op_type)
        if axes is None or rule is None or position != 0:
            continue
        for axis, size in rule(node).items():
            if -len(axes) <= axis < len(axes):
                found.setdefault(axes[axis], size)
    return found


def _readers(
    value: ir.Value, axes: tuple[int, ...] | None
) -> Iterator[tuple[ir.Node, int, tuple[int, ...] | None]]:
    """Nodes that read `value`, directly or reordered: node, position, and where each axis came from."""
    queue = [(value, axes)]
    seen = {value}
    while queue:
        current, order = queue.pop(0)
        for node, position in current.uses():
            yield node, position, order
            onward = _passed_on(node, position, order)
            if onward is not None and node.outputs and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                queue.append((node.outputs[0], onward))


def _passed_on(node: ir.Node, position: int, axes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The origin of each axis of the node's output, or None when the node changes more than order."""
    if axes is None:
        return None
    if node.op_type in _SAME_SHAPE:
        return axes if position == 0 else None
    if node.op_type == "Transpose":
        perm = permutation(node, len(axes))
        return tuple(axes[axis] for axis in perm) if len(perm) == len(axes) else None
    if node.op_type in _ARITHMETIC and len(node.inputs) == 2:
        other = stored_shape(node.inputs[1 - position])
        return axes if other is not None and len(other) <= len(axes) else None
    return None


def _conv(node: ir.Node) -> dict[int, int]:
    weight = stored_shape(node.inputs[1])
    group = node.attributes["group"].as_int() if "group" in node.attributes else 1
    return {1: weight[1] * group} if weight else {}


def _conv_transpose(node: ir.Node) -> dict[int, int]:
    weight = stored_shape(node.inputs[1])
    return {1: weight[0]} if weight else {}


def _matmul(node: ir.Node) -> dict[int, int]:
    weight = stored_shape(node.inputs[1])
    return {-1: weight[-2]} if weight and len(weight) >= 2 else {}


def _gemm(node: ir.Node) -> dict[int, int]:
    weight = stored_shape(node.inputs[1])
    if not weight or len(weight) != 2:
        return {}
    turned = "transB" in node.attributes and node.attributes["transB"].as_int() == 1
    reads = 0 if "transA" in node.attributes and node.attributes["transA"].as_int() == 1 else 1
    return {reads: weight[1] if turned else weight[0]}


def _recurrent(node: ir.Node) -> dict[int, int]:
    weight = stored_shape(node.inputs[1])
    return {2: weight[2]} if weight and len(weight) == 3 else {}


def _batch_norm(node: ir.Node) -> dict[int, int]:
    scale = stored_shape(node.inputs[1])
    return {1: scale[0]} if scale else {}


def _last_axis_norm(node: ir.Node) -> dict[int, int]:
    scale = stored_shape(node.inputs[1])
    return {-1: scale[-1]} if scale else {}


_DEMANDS: Mapping[str, Callable[[ir.Node], dict[int, int]]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _batch_norm,
    "LayerNormalization": _last_axis_norm,
    "RMSNormalization": _last_axis_norm,
}
