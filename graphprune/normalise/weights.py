"""Which inputs of which operators are weights, and which initializers are one weight used twice."""

from __future__ import annotations

import onnx_ir as ir

WEIGHT_POSITIONS: dict[tuple[str, str], tuple[int, ...]] = {
    ("", "MatMul"): (0, 1),
    ("", "Gemm"): (0, 1),
    ("", "Conv"): (1,),
    ("", "ConvTranspose"): (1,),
    ("", "DeformConv"): (1,),
    ("", "Gather"): (0,),
    ("", "LSTM"): (1, 2),
    ("", "GRU"): (1, 2),
    ("", "RNN"): (1, 2),
    ("", "ConvInteger"): (1,),
    ("", "MatMulInteger"): (0, 1),
    ("", "QLinearConv"): (3,),
    ("", "QLinearMatMul"): (0, 3),
    ("com.microsoft", "Attention"): (1,),
    ("com.microsoft", "QAttention"): (1,),
    ("com.microsoft", "EmbedLayerNormalization"): (2, 3, 4),
    ("com.microsoft", "FusedConv"): (1,),
    ("com.microsoft", "NhwcFusedConv"): (1,),
    ("com.microsoft", "ConvTransposeWithDynamicPads"): (1,),
    ("com.microsoft", "QLinearConv"): (3,),
    ("com.microsoft", "QGemm"): (0, 3),
    ("com.microsoft", "GemmFastGelu"): (0, 1),
    ("com.microsoft", "FusedMatMulActivation"): (0, 1),
    ("com.microsoft", "DynamicQuantizeLSTM"): (1, 2),
    ("com.microsoft", "MoE"): (2, 4, 6),
    ("com.microsoft", "QMoE"): (2, 5, 8),
    ("com.microsoft", "QEmbedLayerNormalization"): (2, 3, 4),
    ("com.microsoft", "FusedGemm"): (0, 1),
    ("com.microsoft", "FusedMatMul"): (0, 1),
    ("com.microsoft", "TransposeMatMul"): (0, 1),
    ("com.microsoft", "NhwcConv"): (1,),
    ("com.microsoft", "DynamicQuantizeMatMul"): (1,),
    ("com.microsoft", "MatMulIntegerToFloat"): (0, 1),
    ("com.microsoft", "MatMulNBits"): (1,),
    ("com.microsoft", "MatMulBnb4"): (1,),
    ("com.microsoft", "GatherBlockQuantized"): (0,),
}
"""Inputs that hold a weight; Einsum takes one at any place."""

_CARRIERS = frozenset(
    (
        *("Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"),
        *("DequantizeLinear", "QuantizeLinear"),
    )
)
_WEIGHT_TYPES = frozenset(
    ir.DataType[name]
    for name in (
        *("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4"),
        *("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
    )
)


def is_tied(value: ir.Value) -> bool:
    """Whether an initializer is a matrix that serves as a weight at least twice: a real tie.

    Equal vectors, scalars, masks and tables that exporters merged are not: nothing in the network ties them.
    """
    tensor = value.const_value
    if tensor is None or tensor.dtype not in _WEIGHT_TYPES:
        return False
    if sum(size > 1 for size in tensor.shape.numpy()) < 2:
        return False
    return _weight_uses(value) >= 2


def _weight_uses(value: ir.Value) -> int:
    """Returns how often a value arrives at a weight position, directly or carried there."""
    count = 0
    for node, index in value.uses():
        if node.domain == "" and node.op_type in _CARRIERS:
            count += _weight_uses(node.outputs[0]) if index == 0 else 0
        elif (node.domain, node.op_type) == ("", "Einsum"):
            count += 1
        else:
            count += index in WEIGHT_POSITIONS.get((node.domain, node.op_type), ())
    return count
