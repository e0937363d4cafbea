"""How integers stand for real numbers: which operands of which operators, and several to a byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import GraphFacts, NodeFacts

Axes = tuple[int, ...]
Uses = Mapping[str, Sequence[tuple[NodeFacts, int]]]


@dataclass(frozen=True, slots=True)
class Quantised:
    """How the integers of a weight stand for real numbers: `(integer - zero point) * scale`.

    Attributes:
        scale: name of the weight that holds it; "" where it is applied later.
        zero_point: name of the weight that holds it; "" for zero.
        axes: the axes of the weight along which they run, as far as they are not scalars.
        bits: of one number where several share a byte; 0 if none do. Zero is in the middle by default.
        block: stored elements in a row that share a scale (the last block may have fewer); 0 if none do.
    """

    scale: str
    zero_point: str
    axes: Axes
    bits: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class _Operand:
    """An integer operand: where its scale and zero point are, and the axes along which they run."""

    scale: int | None
    zero_point: int | None
    axes: Axes | Callable[[Mapping[str, Any]], Axes] = (-1,)
    bits: str = ""  # the attribute that holds the bits of a number
    block: int = 0  # the size of a block unless an attribute says another


def _along(attributes: Mapping[str, Any]) -> Axes:
    return (int(attributes.get("axis") or 0) if "axis" in attributes else 1,)


def _columns(attributes: Mapping[str, Any]) -> Axes:
    return (0,) if attributes.get("transB") else (-1,)


_OPERANDS: Mapping[tuple[str, str, int], _Operand] = {
    ("", "DequantizeLinear", 0): _Operand(1, 2, _along),
    ("", "MatMulInteger", 1): _Operand(None, 3),
    ("", "ConvInteger", 1): _Operand(None, 3, (0,)),
    ("", "QLinearMatMul", 3): _Operand(4, 5),
    ("", "QLinearConv", 3): _Operand(4, 5, (0,)),
    ("", "QLinearConv", 8): _Operand(None, None),
    ("com.microsoft", "DequantizeLinear", 0): _Operand(1, 2, _along),
    ("com.microsoft", "QLinearConv", 3): _Operand(4, 5, (0,)),
    ("com.microsoft", "QLinearConv", 8): _Operand(None, None),
    ("com.microsoft", "QGemm", 3): _Operand(4, 5, _columns),
    ("com.microsoft", "QGemm", 6): _Operand(None, None),
    ("com.microsoft", "QAttention", 1): _Operand(4, 7),
    ("com.microsoft", "MatMulInteger16", 0): _Operand(None, None),
    ("com.microsoft", "MatMulInteger16", 1): _Operand(None, None),
    ("com.microsoft", "DynamicQuantizeMatMul", 1): _Operand(2, 3),
    ("com.microsoft", "MatMulIntegerToFloat", 1): _Operand(3, 5),
    ("com.microsoft", "DynamicQuantizeLSTM", 1): _Operand(8, 9, (0, 2)),
    ("com.microsoft", "DynamicQuantizeLSTM", 2): _Operand(10, 11, (0, 2)),
    ("com.microsoft", "MatMulNBits", 1): _Operand(2, 3, (0, 1), "bits"),
    ("com.microsoft", "GatherBlockQuantized", 0): _Operand(2, 3, (0, 1), "bits", 128),
    ("com.microsoft", "QMoE", 2): _Operand(3, 11, (0, 1, 2), "expert_weight_bits"),
    ("com.microsoft", "QMoE", 5): _Operand(6, 12, (0, 1, 2), "expert_weight_bits"),
    ("com.microsoft", "QMoE", 8): _Operand(9, 13, (0, 1, 2), "expert_weight_bits"),
    **{
        ("com.microsoft", op, k): _Operand(k + 1, k + 2)
        for op in ("QLinearAdd", "QLinearMul")
        for k in (0, 3)
    },
    **{("com.microsoft", "QEmbedLayerNormalization", k): _Operand(k + 6, k + 11) for k in range(2, 7)},
}


# What moves whole numbers and leaves them as they are.
_MOVES = frozenset({"Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})


def understood(name: str, uses: Uses, facts: GraphFacts) -> Quantised | None:
    """How the readers of whole numbers understand them; None unless all take them for the same real ones.

    A scale that is computed at run time counts as one applied later; with such a zero point nobody knows
    what zero is. Numbers that are moved before they are read must all have one scale and zero point.
    """
    found: dict[tuple[str, str, Axes, int, int], Quantised] = {}
    for node, index, moved in _readers(name, uses):
        operand = _OPERANDS.get((node.domain, node.op, index))
        if operand is None:
            return None
        scale, zero = (_name(node, k) for k in (operand.scale, operand.zero_point))
        if zero and zero not in facts.weights:
            return None
        scale = scale if scale in facts.weights else ""
        if moved and any(n and facts.weights[n].size != 1 for n in (scale, zero)):
            return None
        axes = operand.axes(node.attributes) if callable(operand.axes) else operand.axes
        bits = int(node.attributes.get(operand.bits) or 4) if operand.bits else 0
        block = int(node.attributes.get("block_size") or operand.block)
        if bits and facts.weights[name].dtype == ir.DataType.UINT8:
            block = block * bits // 8
        key = (
            facts.origin.get(scale, scale),
            facts.origin.get(zero, zero),
            () if moved else axes,
            bits,
            block,
        )
        found.setdefault(key, Quantised(scale, zero, axes, bits, block))
    return next(iter(found.values())) if len(found) == 1 else None


def _readers(name: str, uses: Uses, moved: bool = False) -> Iterator[tuple[NodeFacts, int, bool]]:
    """Who reads the numbers of a tensor, seen through what only moves them."""
    for node, index in uses.get(name, ()):
        if node.op in _MOVES and not node.domain and index == 0:
            yield from _readers(node.outputs[0], uses, True)
        elif node.op not in ("Shape", "Size") or node.domain:
            yield node, index, moved


def _name(node: NodeFacts, index: int | None) -> str:
    return node.inputs[index] if index is not None and index < len(node.inputs) else ""


def laid_along(
    companion: NDArray[np.generic], quantised: Quantised, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """A scale or zero point shaped so that it stretches over a weight of this shape; blocks are repeated."""
    if companion.size == 1:
        return companion.reshape(())
    if companion.ndim < len(shape):
        placed = [1] * len(shape)
        for axis, size in zip(quantised.axes, companion.shape, strict=False):
            placed[axis] = size
        companion = companion.reshape(placed)
    for axis, size in enumerate(shape):
        if companion.shape[axis] not in (1, size):
            spread = np.repeat(companion, quantised.block, axis=axis)
            companion = spread[(slice(None),) * axis + (slice(size),)]
    return companion


def unpacked(array: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """The numbers of every byte, lowest bits first, along a new last axis."""
    data = array.view(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (data[..., None] >> shifts) & np.uint8((1 << bits) - 1)


def packed_magnitudes(
    array: NDArray[np.generic],
    quantised: Quantised,
    scale: NDArray[np.generic],
    zero: NDArray[np.generic] | None,
) -> NDArray[np.float32]:
    """For every byte the root of the sum of squares of the numbers in it: packed slots share a score."""
    shared = array.dtype == np.uint8
    numbers = (unpacked(array, quantised.bits) if shared else array[..., None]).astype(np.float32)
    middle: NDArray[np.float32] = np.full((), (1 << (quantised.bits - 1)) if shared else 0, dtype=np.float32)
    if scale.ndim == 1 and array.ndim > 2:  # stored in one row
        scale = scale.reshape(array.shape[0], -1)
    if zero is not None:
        if zero.dtype == np.uint8:
            zero = unpacked(zero, quantised.bits).reshape(*zero.shape[:-1], -1)
        zero = zero.reshape(*scale.shape[:-1], -1)[..., : scale.shape[-1]]
        middle = laid_along(zero, quantised, array.shape).astype(np.float32)[..., None]
    spread = laid_along(scale, quantised, array.shape).astype(np.float32)
    magnitudes: NDArray[np.float32] = np.sqrt(((numbers - middle) ** 2).sum(-1)) * np.abs(spread)
    return magnitudes
