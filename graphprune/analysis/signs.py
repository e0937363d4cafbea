"""Which tensors cannot be zero or negative, whatever their inputs: what may be divided by.

Norms divide by the root of a mean of squares plus a small constant. Where all weights in front are zero, that
constant is what saves them from 0 / 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

import onnx_ir as ir

from graphprune.analysis.facts import NodeFacts


class Sign(IntEnum):
    """What is known of all elements of a tensor."""

    ANY = 0
    NOT_NEGATIVE = 1
    POSITIVE = 2


_SQUARE = frozenset({"Abs", "Relu", "ReduceL1", "ReduceL2", "ReduceSumSquare"})
_ABOVE_ZERO = frozenset({"Exp", "Sigmoid", "Softplus"})
_AS_BEFORE = frozenset(
    "Identity ReduceMean ReduceMax ReduceMin Reshape Sqrt Squeeze Transpose Unsqueeze".split()
)
_FLOATING = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
DIVIDING: Mapping[str, int] = {"Div": 1, "Reciprocal": 0, "Log": 0}
"""By operator, the input that must not be zero."""


def sign_of(node: NodeFacts, known: Mapping[str, Sign], least: Callable[[str], float | None]) -> Sign:
    """The sign of what a node of the default domain gives.

    Args:
        node: with one result.
        known: signs of computed tensors.
        least: the smallest element of a stored tensor; None of others.
    """
    signs = [_given(n, known, least) for n in node.inputs if n]
    match node.op:
        case op if op in _ABOVE_ZERO:
            return Sign.POSITIVE
        case op if op in _SQUARE:
            return max(Sign.NOT_NEGATIVE, signs[0]) if op == "Relu" else Sign.NOT_NEGATIVE
        case op if op in _AS_BEFORE:
            return signs[0]
        case "Cast":  # a whole number may be zero where a fraction was not
            return signs[0] if node.attributes.get("to") in _FLOATING else min(signs[0], Sign.NOT_NEGATIVE)
        case "Clip":
            return _clipped(node, known, least)
        case "Pow":
            power = least(node.inputs[1])
            even = power is not None and power > 0 and power % 2 == 0
            return Sign.POSITIVE if signs[0] is Sign.POSITIVE else Sign.NOT_NEGATIVE if even else Sign.ANY
        case "Mul" if node.inputs[0] == node.inputs[1]:
            return max(Sign.NOT_NEGATIVE, signs[0])
        case "Add" | "Max":
            return max(signs) if min(signs) > Sign.ANY or node.op == "Max" else Sign.ANY
        case "Mul" | "Div" | "Reciprocal":
            return min(signs)
    return Sign.ANY


def _clipped(node: NodeFacts, known: Mapping[str, Sign], least: Callable[[str], float | None]) -> Sign:
    """No less than the lower bound, unless the upper one is."""
    bounds = [_given(n, known, least) for n in node.inputs[1:3] if n]
    bounds += [_sign(float(node.attributes[a])) for a in ("min", "max") if a in node.attributes]
    bounded = "min" in node.attributes or (len(node.inputs) > 1 and bool(node.inputs[1]))
    return min(bounds) if bounded else Sign.ANY


def _given(name: str, known: Mapping[str, Sign], least: Callable[[str], float | None]) -> Sign:
    if name in known:
        return known[name]
    smallest = least(name)
    return Sign.ANY if smallest is None else _sign(smallest)


def _sign(number: float) -> Sign:
    return Sign.POSITIVE if number > 0 else Sign.NOT_NEGATIVE if number == 0 else Sign.ANY
