"""The constants of a model: which carry a score, which the oracle zeroes, and what zero is for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.quantised import Quantised, laid_along, packed_magnitudes, understood
from graphprune.dims import Dim
from graphprune.rules import find_rule

# Where an initializer is added rather than multiplied: it carries no score of its own.
_ADDED_TO = frozenset({"Add", "Sub", "Where", "Max", "Min", "Sum", "Concat", "Equal", "Less", "Greater"})
# What is read through these is still the same weight.
_TRANSPARENT = frozenset(
    {"DequantizeLinear", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"}
)
_DOMAINS = ("", "com.microsoft")  # DequantizeLinear is in both


@dataclass(frozen=True, slots=True)
class Weight:
    """An initializer or another constant tensor.

    Attributes:
        dims: one expression for each axis.
        real: holds real numbers, also in a quantised form.
        additive: only ever added (biases, masks); carries no magnitude score.
        masked: the oracle zeroes it; divisors and whole numbers are left alone.
        made: produced by a ConstantOfShape node, with this value.
        quantised: how whole numbers stand for real ones.
        layer: atom of the layer that ends in it and has no weight without it; 0 if there is none.
    """

    name: str
    shape: tuple[int, ...]
    dims: tuple[Dim, ...]
    itemsize_bits: int
    real: bool
    additive: bool
    masked: bool
    made: float | None = None
    quantised: Quantised | None = None
    layer: int = 0

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_weights(facts: GraphFacts, dims: Mapping[str, tuple[Dim, ...]]) -> dict[str, Weight]:
    """Every constant of the model by name, with what it is for."""
    uses: dict[str, list[tuple[NodeFacts, int]]] = {}
    for node in facts.all_nodes:
        for index, name in enumerate(node.inputs):
            uses.setdefault(name, []).append((node, index))
    found = {n: _stored(n, tensor, dims[n], uses, facts) for n, tensor in facts.weights.items()}
    for node in facts.all_nodes:
        if node.op == "ConstantOfShape" and node.outputs[0] in facts.constant and node.outputs[0] in dims:
            weight = _made(node, dims[node.outputs[0]])
            found[weight.name] = weight
    return found


def zero_of(weight: Weight, facts: GraphFacts) -> NDArray[np.generic]:
    """What stands for zero in a weight, shaped so that it stretches over it."""
    if weight.quantised is None or not weight.quantised.zero_point:
        return np.zeros((), dtype=np.int8)
    zero = facts.weights[weight.quantised.zero_point].numpy()
    return laid_along(zero, weight.quantised, weight.shape)


def real_values(weight: Weight, facts: GraphFacts) -> NDArray[np.generic]:
    """The real numbers of a weight, shape of the weight; where several share a byte, one for all of them."""
    if weight.made is not None:
        return np.broadcast_to(np.float32(weight.made), weight.shape)
    array = facts.weights[weight.name].numpy()
    if weight.quantised is None:
        return array
    if weight.quantised.bits:
        return _packed(array, weight.quantised, facts)
    values = array.astype(np.float32) - zero_of(weight, facts).astype(np.float32)
    if weight.quantised.scale:
        scale = facts.weights[weight.quantised.scale].numpy()
        values = values * laid_along(scale, weight.quantised, weight.shape).astype(np.float32)
    return values


def _packed(array: NDArray[np.generic], quantised: Quantised, facts: GraphFacts) -> NDArray[np.generic]:
    if not quantised.scale:
        return np.ones(array.shape, dtype=np.float32)
    zero = facts.weights[quantised.zero_point].numpy() if quantised.zero_point else None
    return packed_magnitudes(array, quantised, facts.weights[quantised.scale].numpy(), zero)


def _stored(
    name: str,
    tensor: ir.TensorProtocol,
    dims: tuple[Dim, ...],
    uses: Mapping[str, list[tuple[NodeFacts, int]]],
    facts: GraphFacts,
) -> Weight:
    direct = uses.get(name, [])
    readers = list(_readers(name, uses))
    floating = bool(tensor.dtype.is_floating_point())
    quantised = None if floating else understood(name, uses, facts)
    real = floating or quantised is not None
    return Weight(
        name,
        tuple(int(s) for s in tensor.shape.numpy()),
        dims,
        int(tensor.dtype.bitwidth) if tensor.dtype != ir.DataType.STRING else 0,
        real,
        bool(readers) and all(_is_added(n, k) for n, k in readers),
        real and not any(_is_divisor(n, k) for n, k in direct),
        None,
        quantised,
    )


def _readers(name: str, uses: Mapping[str, list[tuple[NodeFacts, int]]]) -> Iterator[tuple[NodeFacts, int]]:
    """Who reads a weight, seen through what only changes its form."""
    for node, index in uses.get(name, ()):
        if node.op in _TRANSPARENT and node.domain in _DOMAINS and index == 0:
            yield from _readers(node.outputs[0], uses)
        else:
            yield node, index


def _made(node: NodeFacts, dims: tuple[Dim, ...]) -> Weight:
    value = node.attributes.get("value")
    array = np.zeros(1, np.float32) if value is None else np.asarray(value.numpy())
    real = bool(np.issubdtype(array.dtype, np.floating))
    shape = tuple(d.size for d in dims)
    return Weight(node.outputs[0], shape, dims, 0, real, False, real, float(array.ravel()[0]))


def _is_added(node: NodeFacts, index: int) -> bool:
    if node.op in _ADDED_TO:
        return True
    rule = find_rule(node.domain, node.op)
    return rule is not None and (index in rule.added or (node.op == "BatchNormalization" and index > 1))


def _is_divisor(node: NodeFacts, index: int) -> bool:
    rule = find_rule(node.domain, node.op)
    return rule is not None and index in rule.unmasked
