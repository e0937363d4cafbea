"""What a vector-Jacobian product is, and how to write one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts

Array = NDArray[Any]
Values = Mapping[str, Array]

Product = Callable[[NodeFacts, Values, Sequence[Array | None], Sequence[bool]], Sequence[Array | None]]
"""From a node, the values of its tensors, gradients at its outputs and which inputs are asked for, to the
gradients at its inputs (before sums over broadcast axes)."""


def of_unary(derivative: Callable[[NodeFacts, Array, Array], Array]) -> Product:
    """An elementwise operator of one input, from `derivative(node, x, y)`."""

    def product(
        node: NodeFacts, values: Values, given: Sequence[Array | None], asked: Sequence[bool]
    ) -> Sequence[Array | None]:
        assert given[0] is not None
        return [given[0] * derivative(node, values[node.inputs[0]], values[node.outputs[0]])]

    return product


def of_binary(
    left: Callable[[Array, Array, Array], Array | None], right: Callable[[Array, Array, Array], Array | None]
) -> Product:
    """An elementwise operator of two inputs, from `left(gradient, a, b)` and `right(gradient, a, b)`."""

    def product(
        node: NodeFacts, values: Values, given: Sequence[Array | None], asked: Sequence[bool]
    ) -> Sequence[Array | None]:
        assert given[0] is not None
        a, b = values[node.inputs[0]], values[node.inputs[1]]
        return [side(given[0], a, b) if ask else None for side, ask in zip((left, right), asked, strict=True)]

    return product


def default_domain(table: Mapping[str, Product]) -> dict[tuple[str, str], Product]:
    """A table for the operators of ai.onnx."""
    return {("", op): product for op, product in table.items()}


def summed_by_channel(a: Array, b: Array) -> Array:
    """Products of what two arrays `(samples, channels, *sizes)` hold, added up for each channel."""
    axes = list(range(a.ndim))
    return np.asarray(np.einsum(a, axes, b, axes, [1]))
