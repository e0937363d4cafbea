"""Matrix products: the last axis of A meets the second-last of B; the axes before are batch axes."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.dims import Dim
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.rule import rule


def matmul(node: NodeContext) -> None:
    """`*b m k, *b k n -> *b m n`, numpy style: missing and size-1 batch axes are stretched."""
    product(node, 1)


def product(
    node: NodeContext, second: int, a: tuple[Dim, ...] | None = None, b: tuple[Dim, ...] | None = None
) -> None:
    """The first input times input `second`; `a` and `b` are their axes if the operator transposes them."""
    a, b = a or node.dims(0), b or node.dims(second)
    left, right = (a if len(a) > 1 else (None, *a)), (b if len(b) > 1 else (*b, None))
    inner, other = left[-1], right[-2]
    assert inner is not None
    assert other is not None
    if inner.size != other.size:
        raise Barrier(f"operands of {node.where} do not fit: {inner.size} columns meet {other.size} rows")
    node.solver.unify(inner, other)
    node.contract(inner, 0, second)
    batch = node.same([_axes(left[:-2]), _axes(right[:-2])])
    rows = [left[-2]] if len(a) > 1 else []
    columns = [right[-1]] if len(b) > 1 else []
    node.set(0, (*batch, *_axes(rows), *_axes(columns)))
    if not node.is_stored(0) and not node.is_stored(second):
        for dim in batch:
            node.kind(dim, "heads")
        for dim in (inner, *_axes(columns)):
            node.kind(dim, "head-dim")
    else:  # several weights side by side
        for dim in _axes((left if node.is_stored(0) else right)[:-2]):
            node.kind(dim, "experts")


def _matmul_integer(node: NodeContext) -> None:
    """Zero points are scalars, or one for each row of A and each column of B."""
    matmul(node)
    companions(node, {2: (0, -2), 3: (1, -1)})


def _qlinear_matmul(node: NodeContext) -> None:
    """Both operands and the result come with a scale and a zero point."""
    product(node, 3)
    companions(node, {1: (0, -2), 2: (0, -2), 4: (3, -1), 5: (3, -1), 6: (0, -2), 7: (0, -2)})


def companions(node: NodeContext, along: Mapping[int, tuple[int, int]]) -> None:
    """Scales and zero points (by input) run along an axis of an operand, or have one element."""
    for index, (operand, axis) in along.items():
        dims = node.dims(index) if node.has(index) else ()
        if dims and node.rank(operand) > 1:
            at = axis if len(dims) > 1 else -1
            if dims[at].size != 1:
                node.solver.unify(dims[at], node.dims(operand)[axis])


def _axes(dims: object) -> list[Dim]:
    return [d for d in dims if d is not None]  # type: ignore[attr-defined]


def gemm(node: NodeContext) -> str:
    """`m k, k n, n -> m n`, either matrix transposed, the bias stretched."""
    a, b = matrices(node)
    return f"{a}, {b}, {stretched(node, 2)} -> m n"


def matrices(node: NodeContext) -> tuple[str, str]:
    """The axes of both matrices of a Gemm."""
    return (
        "k m" if node.attribute("transA", 0) else "m k",
        "n k" if node.attribute("transB", 0) else "k n",
    )


def stretched(node: NodeContext, index: int) -> str:
    """The axes of a bias that is stretched over rows and columns of a Gemm."""
    if not node.has(index):
        return "n"
    shape = node.shape(index)
    names = ("m", "n")[2 - len(shape) :]
    return " ".join("_" if size == 1 else name for name, size in zip(names, shape, strict=True))


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
    """Like MatMul: letters that two activations and the result share are heads, contracted ones head-dim.

    A letter that a stored operand of many letters shares with all the others tells weights apart.
    """
    stored = [k for k in range(len(operands)) if node.is_stored(k)]
    for k in stored if len(stored) < len(operands) else ():
        if len(operands[k]) > 2 and "..." not in operands[k]:
            for at, letter in enumerate(operands[k]):
                if all(letter in t for t in operands) and (letter in result or len(operands) > 2):
                    node.kind(node.dims(k)[at], "experts")
    if len(operands) != 2 or any(node.is_stored(k) or "..." in t for k, t in enumerate(operands)):
        return
    for k, letter in enumerate(operands[0]):
        if letter in operands[1]:
            node.kind(node.dims(0)[k], "heads" if letter in result else "head-dim")


RULES = {
    "MatMul": rule(matmul, "all"),
    "MatMulInteger": rule(_matmul_integer, "all"),
    "QLinearMatMul": rule(_qlinear_matmul, "all", unmasked=(1, 2, 4, 5, 6, 7)),
    "Gemm": rule(gemm, "all", added=(2,)),
    "Einsum": rule(_einsum, "all"),
}
