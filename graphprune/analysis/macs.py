"""Multiply-adds of one node as sums of products of dimension sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphprune.analysis.facts import NodeFacts
from graphprune.dims import Dim, add

Dims = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Monomial:
    """`factor` times the product of the sizes of `dims`."""

    factor: int
    dims: Dims


def macs_of(node: NodeFacts, dims: Mapping[str, Dims]) -> tuple[Monomial, ...]:
    """Multiply-adds of one node, as a sum: products with weights or between activations."""
    given = [dims.get(n, ()) if n else () for n in node.inputs]
    made = [dims.get(n, ()) if n else () for n in node.outputs]
    if node.domain == "com.microsoft":
        return _microsoft(node, given, made)
    return _default(node, given, made) if not node.domain else ()


def _default(node: NodeFacts, given: Sequence[Dims], made: Sequence[Dims]) -> tuple[Monomial, ...]:
    match node.op:
        case "Conv" | "ConvInteger" if made[0] and given[1]:
            return (Monomial(1, (*made[0], *given[1][1:])),)
        case "QLinearConv" if made[0] and given[3]:
            return (Monomial(1, (*made[0], *given[3][1:])),)
        case "CausalConvWithState" if made[0] and given[1]:
            return (Monomial(1, (*made[0], *given[1][1:])),)
        case "ConvTranspose" if given[0] and given[1]:
            return (Monomial(1, (*given[0], *given[1][1:])),)
        case "MatMul" | "MatMulInteger" | "QLinearMatMul" if made[0] and given[0]:
            return (Monomial(1, (*made[0], given[0][-1])),)
        case "Gemm":
            return _gemm(node, given, made)
        case "LSTM" | "GRU" | "RNN" if len(given) > 2 and all(given[:3]):
            return _recurrent(given[0], given[1][0], given[1][1], given[1][2], given[2][2])
        case "Einsum":
            return _einsum(node, given)
        case "Attention" if made[0] and given[1]:
            return (Monomial(2, (*made[0], given[1][-2])),)
    return ()


def _microsoft(node: NodeFacts, given: Sequence[Dims], made: Sequence[Dims]) -> tuple[Monomial, ...]:
    if not made[0] or not given[0]:
        return ()
    match node.op:
        case "FusedConv" | "NhwcConv" | "NhwcFusedConv" | "CausalConvWithState":
            return (Monomial(1, (*made[0], *given[1][1:])),)
        case "QLinearConv":
            return (Monomial(1, (*made[0], *given[3][1:])),)
        case "ConvTransposeWithDynamicPads":
            return (Monomial(1, (*given[0], *given[1][1:])),)
        case "FusedMatMul" | "TransposeMatMul" | "FusedMatMulActivation":
            return (Monomial(1, (*made[0], _inner(node, given[0]))),)
        case "FusedGemm" | "QGemm":
            return _gemm(node, given, made)
        case (
            "MatMulNBits"
            | "MatMulBnb4"
            | "GemmFastGelu"
            | "DynamicQuantizeMatMul"
            | "MatMulIntegerToFloat"
            | "MatMulInteger16"
        ):
            return (Monomial(1, (*made[0], given[0][-1])),)
        case "DynamicQuantizeLSTM":
            return _recurrent(given[0], given[1][0], given[1][2], given[1][1], given[2][1])
        case "Attention" | "QAttention":
            projection = Monomial(1, (*given[0], given[1][1]))
            return (projection, Monomial(2, (*made[0], given[0][1])))
        case "MultiHeadAttention" | "GroupQueryAttention":
            return (Monomial(2, (*made[0], _steps(given))),)
        case "MoE":
            return _experts(node, given, (2, 4, 6))
        case "QMoE":
            return _experts(node, given, (2, 5, 8))
    return ()


def _gemm(node: NodeFacts, given: Sequence[Dims], made: Sequence[Dims]) -> tuple[Monomial, ...]:
    if not made[0] or not given[0]:
        return ()
    return (Monomial(1, (*made[0], given[0][0 if node.attributes.get("transA") else -1])),)


def _inner(node: NodeFacts, dims: Dims) -> Dim:
    """What a product sums over; a transposed operand has it at another place."""
    if not node.attributes.get("transA") or len(dims) < 2:
        return dims[-1]
    return dims[0] if node.attributes.get("transBatchA") and len(dims) > 2 else dims[-2]


def _recurrent(x: Dims, directions: Dim, rows: Dim, width: Dim, hidden: Dim) -> tuple[Monomial, ...]:
    """Steps x batch x directions x (gates x hidden) x (in + hidden)."""
    return (Monomial(1, (*x[:2], directions, rows, add([width, hidden]))),)


def _steps(given: Sequence[Dims]) -> Dim:
    """How many keys there are, as far as the operands say."""
    keys = given[1] if len(given) > 1 and given[1] else given[0]
    return keys[2] if len(keys) == 4 else keys[1]


def _experts(node: NodeFacts, given: Sequence[Dims], places: Sequence[int]) -> tuple[Monomial, ...]:
    """Every token goes through k experts."""
    chosen = int(node.attributes.get("k") or 1)
    tokens = given[0][:-1]
    return tuple(Monomial(chosen, (*tokens, *given[k][1:])) for k in places if k < len(given) and given[k])


def _einsum(node: NodeFacts, given: Sequence[Dims]) -> tuple[Monomial, ...]:
    left = str(node.attributes.get("equation", "")).replace(" ", "").split("->")[0].split(",")
    if "." in "".join(left) or len(left) != len(given) or len(left) < 2:
        return ()
    letters = {c: d for term, dims in zip(left, given, strict=True) for c, d in zip(term, dims, strict=False)}
    return (Monomial(1, tuple(letters.values())),)
