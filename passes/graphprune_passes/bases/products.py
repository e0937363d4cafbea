"""Products of two tensors as an equation over letters, one for each axis."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.letters import einsum_letters, matmul_letters


def product_letters(node: NodeFacts, ranks: Sequence[int]) -> tuple[tuple[str, str], str] | None:
    """The letters of both operands and of the result, as Einsum writes them.

    Args:
        node: an operator.
        ranks: of its inputs.

    Returns:
        None if it is no product of two tensors, or one over diagonals or an ellipsis.
    """
    if len(ranks) != 2 or node.domain not in ("", "com.microsoft"):
        return None
    if node.op == "Einsum":
        equation = str(node.attributes.get("equation", ""))
        if "." in equation or "->" not in equation or equation.count(",") != 1:
            return None
        terms, result = einsum_letters(equation, ranks)
        return None if any(len(set(t)) < len(t) for t in (*terms, result)) else ((terms[0], terms[1]), result)
    if node.op not in ("MatMul", "FusedMatMul") or min(ranks) < 2:
        return None
    if any(node.attributes.get(a) for a in ("transBatchA", "transBatchB")):
        return None
    terms, result = matmul_letters(ranks, [bool(node.attributes.get(a)) for a in ("transA", "transB")])
    return (terms[0], terms[1]), result
