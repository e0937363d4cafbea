"""Matrix products with transpositions, scales, biases and activations fused in."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import NodeContext
from graphprune.rules.fused import fused_zero
from graphprune.rules.matmul import companions, gemm, matmul, matrices, product, stretched
from graphprune.rules.rule import rule


def _fused_matmul(node: NodeContext) -> None:
    """`*b m k, *b k n -> *b m n`; the last two axes, and the first with the batch axes, may be swapped."""
    product(node, 1, _arranged(node, 0, "A"), _arranged(node, 1, "B"))


def _arranged(node: NodeContext, index: int, side: str) -> tuple[Dim, ...]:
    """The axes of an operand as a plain product has them."""
    dims = node.dims(index)
    if node.attribute(f"transBatch{side}", 0) and len(dims) > 2:
        dims = (*dims[1:-1], dims[0], dims[-1])
    if node.attribute(f"trans{side}", 0) and len(dims) > 1:
        dims = (*dims[:-2], dims[-1], dims[-2])
    return dims


def _dynamic(node: NodeContext) -> None:
    """A is quantised by its range, B has a scale for each column, and a bias is added."""
    for dim in node.dims(0):  # slots that hold zero do not change the range
        node.contract(dim, 0, stays=True)
    _scaled(node, {2: (1, -1), 3: (1, -1), 4: (1, -1)})


def _to_float(node: NodeContext) -> None:
    """Both operands come with a scale and a zero point, and a bias is added."""
    _scaled(node, {2: (0, -1), 3: (1, -1), 4: (0, -1), 5: (1, -1), 6: (1, -1)})


def _scaled(node: NodeContext, along: dict[int, tuple[int, int]]) -> None:
    matmul(node)
    companions(node, along)
    node.set(0, [node.solver.resolve(d) for d in node.outputs[0] or ()])


def _qgemm(node: NodeContext) -> str:
    """Like Gemm; operands and result come with a scale and a zero point."""
    a, b = matrices(node)
    along = ", ".join("n" if node.has(k) and node.rank(k) and node.shape(k)[0] > 1 else "*_" for k in (4, 5))
    return f"{a}, *_, *_, {b}, {along}, {stretched(node, 6)} -> m n"


RULES = {
    "FusedMatMul": rule(_fused_matmul, "all"),
    "TransposeMatMul": rule(_fused_matmul, "all"),
    "FusedMatMulActivation": rule(_fused_matmul, fused_zero),
    "FusedGemm": rule(gemm, fused_zero, added=(2,)),
    "GemmFastGelu": rule("*b k, k n, n -> *b n", "all", added=(2,)),
    "MatMulInteger16": rule(matmul, "all"),
    "DynamicQuantizeMatMul": rule(_dynamic, "all", unmasked=(2, 3), added=(4,)),
    "MatMulIntegerToFloat": rule(_to_float, "all", unmasked=(2, 3, 4, 5), added=(6,)),
    "QGemm": rule(_qgemm, "all", unmasked=(1, 2, 4, 5, 7, 8), added=(6,)),
}
