"""Matrix products: the last axis of A meets the second-last of B; the axes before are batch axes."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import NodeContext
from graphprune.rules.rule import rule


def _matmul(node: NodeContext) -> None:
    """`*b m k, *b k n -> *b m n`, numpy style: missing and size-1 batch axes are stretched."""
    a, b = node.dims(0), node.dims(1)
    left, right = (a if len(a) > 1 else (None, *a)), (b if len(b) > 1 else (*b, None))
    inner, other = left[-1], right[-2]
    assert inner is not None
    assert other is not None
    node.solver.unify(inner, other)
    node.contract(inner, 0, 1)
    batch = node.same([_axes(left[:-2]), _axes(right[:-2])])
    rows = [left[-2]] if len(a) > 1 else []
    columns = [right[-1]] if len(b) > 1 else []
    node.set(0, (*batch, *_axes(rows), *_axes(columns)))
    if not node.is_constant(0) and not node.is_constant(1):
        for dim in batch:
            node.kind(dim, "heads")
        for dim in (inner, *_axes(columns)):
            node.kind(dim, "head-dim")


def _axes(dims: object) -> list[Dim]:
    return [d for d in dims if d is not None]  # type: ignore[attr-defined]


def _gemm(node: NodeContext) -> str:
    a = "k m" if node.attribute("transA", 0) else "m k"
    b = "n k" if node.attribute("transB", 0) else "k n"
    bias = "n"
    if node.has(2):
        rank = node.rank(2)
        bias = {0: "", 1: "n", 2: "m n" if node.shape(2)[0] != 1 else "_ n"}[rank]
        if rank and node.shape(2)[-1] == 1:
            bias = "_ " * (rank - 1) + "_"
    return f"{a}, {b}, {bias} -> m n"


def _einsum(node: NodeContext) -> str:
    """The equation is the rule; an ellipsis is a star, letters are names."""
    equation = str(node.attribute("equation")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        right = "..." * ("..." in left) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))

    def spell(term: str) -> str:
        return " ".join("*ellipsis" if c == "." else f"x{c}" for c in term.replace("...", "."))

    operands = left.split(",")
    _einsum_kinds(node, operands, right)
    return ", ".join(spell(t) for t in operands) + " -> " + spell(right)


def _einsum_kinds(node: NodeContext, operands: list[str], result: str) -> None:
    """Like MatMul: letters that two activations and the result share are heads, contracted ones head-dim."""
    if len(operands) != 2 or any(node.is_constant(k) or "..." in t for k, t in enumerate(operands)):
        return
    for k, letter in enumerate(operands[0]):
        if letter in operands[1]:
            node.kind(node.dims(0)[k], "heads" if letter in result else "head-dim")


RULES = {
    "MatMul": rule(_matmul, "all"),
    "MatMulInteger": rule(_matmul, "all"),
    "Gemm": rule(_gemm, "all", added=(2,)),
    "Einsum": rule(_einsum, "all"),
}
