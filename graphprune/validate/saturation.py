"""Quantised models on processors whose 8-bit products are not exact.

Without VNNI, ONNX Runtime's kernels on x86 add two products of unsigned and signed bytes in 16 bits, which
saturates: 2 x 255 x 127 is more than 32,767 (ONNX Runtime, "Quantize ONNX models": U8S8 on AVX2). Which
products are added in pairs changes with the width, so a pruned model rightly gives other values there. With
signed bytes at half their size nothing can saturate (2 x 255 x 64 = 32,640), and whether a graph was
rewritten rightly does not depend on the values of its weights.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def holds_bytes(model: ir.Model) -> bool:
    """Whether any initializer holds signed bytes."""
    return any(_bytes(value) for value in model.graph.initializers.values())


def halved(model: ir.Model) -> ir.Model:
    """A copy in which all initializers of signed bytes, zero points too, have half their value."""
    copy = model.clone()
    for name, value in copy.graph.initializers.items():
        if value.const_value is not None and _bytes(value):
            value.const_value = ir.Tensor(np.right_shift(value.const_value.numpy(), 1), name=name)
    return copy


def _bytes(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.dtype == ir.DataType.INT8
