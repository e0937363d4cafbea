"""Products of two tensors as an equation over letters, one for each axis."""

from __future__ import annotations

import string
from collections.abc import Sequence

from graphprune.analysis.facts import NodeFacts


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
        left, arrow, result = str(node.attributes.get("equation", "")).replace(" ", "").partition("->")
        terms = left.split(",")
        every = (*terms, result)
        if not arrow or len(terms) != 2 or any("." in t or len(set(t)) < len(t) for t in every):
            return None
        return (terms[0], terms[1]), result
    if node.op not in ("MatMul", "FusedMatMul") or min(ranks) < 2:
        return None
    if any(node.attributes.get(a) for a in ("transBatchA", "transBatchB")):
        return None
    lead = string.ascii_lowercase[: max(ranks) - 2]
    a, b = ("YX" if node.attributes.get("transA") else "XY", "ZY" if node.attributes.get("transB") else "YZ")
    before = [lead[len(lead) - (r - 2) :] for r in ranks]
    return (before[0] + a, before[1] + b), lead + "XZ"
