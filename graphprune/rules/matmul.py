"""Matrix products: the last axis of A meets the second-last of B; the axes before are batch axes."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.rule import rule


def _matmul(node: NodeContext) -> None:
    """`*b m k, *b k n -> *b m n`, numpy style: missing and size-1 batch axes are stretched."""
    a, b = node.dims(0), node.dims(1)
    left, right = (a if len(a) > 1 else (None, *a)), (b if len(b) > 1 else (*b, None))
    inner, other = left[-1], right[-2]
    assert inner is not None
    assert other is not None
    if inner.size != other.size:
        raise Barrier(f"operands of {node.where} do not fit: {inner.size} columns meet {other.size} rows")
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


def _matmul_integer(node: NodeContext) -> None:
    """Zero points are scalars, or one for each row of A and each column of B."""
    _matmul(node)
    for operand, axis in ((0, -2), (1, -1)):
        zero = node.dims(operand + 2) if node.has(operand + 2) else ()
        if zero and node.rank(operand) > 1:
            at = axis if len(zero) > 1 else -1
            if zero[at].size != 1:
                node.solver.unify(zero[at], node.dims(operand)[axis])


def _axes(dims: object) -> list[Dim]:
    return [d for d in dims if d is not None]  # type: ignore[attr-defined]


def _gemm(node: NodeContext) -> str:
    """`m k, k n, n -> m n`, either matrix transposed, the bias stretched."""
    a = "k m" if node.attribute("transA", 0) else "m k"
    b = "n k" if node.attribute("transB", 0) else "k n"
    bias = "n"
    if node.has(2):
        shape = node.shape(2)
        names = ("m", "n")[2 - len(shape) :]
        bias = " ".join("_" if size == 1 else name for name, size in zip(names, shape, strict=True))
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
    "MatMulInteger": rule(_matmul_integer, "all"),
    "Gemm": rule(_gemm, "all", added=(2,)),
    "Einsum": rule(_einsum, "all"),
}
