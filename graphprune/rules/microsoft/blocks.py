"""Weights that are quantised in blocks, several numbers to a byte: rows are free, columns go in whole blocks.

The oracle zeroes the scales of a removed row or block, not the packed numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.dims import Const, Dim, multiply
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.elementwise import in_blocks
from graphprune.rules.rule import rule


def packed(node: NodeContext, dim: Dim, into: Dim, what: str) -> None:
    """`into` holds `dim` with several slots in a byte, so that only so many together can go."""
    if dim.size == into.size:
        node.solver.unify(dim, into)
    elif dim.size % into.size:
        for each in (dim, into):
            node.freeze(each, f"{what} of {node.where} share bytes unevenly")
    else:
        groups, inside = node.solver.factor(dim, into.size)
        node.freeze(inside, f"{what} of {node.where} share a byte")
        node.solver.unify(groups, into)


def _columns(node: NodeContext, index: int, wanted: Sequence[Dim]) -> None:
    """Equate the axes of an input that may be stored flat with `wanted`."""
    dims = node.dims(index)
    if len(dims) != len(wanted) and len(dims) == 1:
        dims = node.reshaped(dims, [d.size for d in wanted])
    if [d.size for d in dims] != [d.size for d in wanted]:
        raise Barrier(f"input {index} of {node.where} has a shape that its rule does not know")
    for have, want in zip(dims, wanted, strict=True):
        node.solver.unify(have, want)


def _product(node: NodeContext) -> None:
    """`*b k, n k -> *b n` with k in blocks; zero points may share a byte."""
    *batch, width = node.dims(0)
    if node.has(4):
        raise Barrier("it reorders its columns by a table")
    if node.attribute("weight_prepacked", 0):
        raise Barrier("its weights are packed in a layout that only one device knows")
    blocks = in_blocks(node, width, int(node.attribute("block_size")))
    rows = node.dims(1)[0]
    _columns(node, 2, [rows, blocks])
    _columns(node, 1, [rows, node.solver.resolve(blocks), node.dims(1)[2]])
    node.freeze(node.dims(1)[2], f"numbers of one block in {node.where}")
    if node.has(3):
        zeros = node.dims(3)
        if len(zeros) == 1:
            zeros = node.reshaped(zeros, [rows.size, zeros[0].size // rows.size])
        node.solver.unify(zeros[0], rows)
        packed(node, node.solver.resolve(blocks), zeros[1], "zero points")
    if node.has(5):
        node.solver.unify(node.dims(5)[0], rows)
    _finish(node, batch, rows, width)


def _bnb4(node: NodeContext) -> None:
    """`*b k, n k -> *b n` with k in blocks, everything stored in one row."""
    *batch, width = node.dims(0)
    size, count = int(node.attribute("block_size")), int(node.attribute("N"))
    if not node.attribute("transB", 1) or width.size % size:
        raise Barrier("its blocks run across its rows")
    blocks = in_blocks(node, width, size)
    rows, _, inside = node.reshaped(node.dims(1), [count, blocks.size, size // 2])
    node.freeze(inside, f"numbers of one block in {node.where}")
    _columns(node, 2, [rows, blocks])
    _columns(node, 1, [node.solver.resolve(d) for d in (rows, blocks, inside)])
    _finish(node, batch, rows, width)


def _finish(node: NodeContext, batch: list[Dim], rows: Dim, width: Dim) -> None:
    rows, width = node.solver.resolve(rows), node.solver.resolve(width)
    node.contract(width, 0, 2)  # the scales are what the oracle zeroes
    node.sizes_attribute("N", [rows], scalar=True)
    node.sizes_attribute("K", [width], scalar=True)
    node.set(0, [*batch, rows])


def _gather(node: NodeContext) -> None:
    """Rows are looked up; what is read of each is quantised in blocks."""
    data, scales = list(node.dims(0)), list(node.dims(2))
    rank = len(data)
    row, along = (
        node.axis(int(node.attribute(a, d)), rank) for a, d in (("gather_axis", 0), ("quantize_axis", 1))
    )
    made = list(node.out_shape())
    index = node.dims(1)
    widths = [made[k if k < row else k + len(index) - 1] for k in range(rank)]
    node.freeze(data[row], f"rows looked up at run time of {node.where}")
    out: list[Dim] = []
    for k, dim in enumerate(data):
        if k == row:
            out += index
            if row != along:
                node.solver.unify(scales[k], dim)
            node.freeze(scales[k], f"rows looked up at run time of {node.where}")
            continue
        whole = (
            dim if widths[k] == dim.size else multiply([dim, Const(widths[k] // dim.size, "share a byte")])
        )
        if k == along:
            size = int(node.attribute("block_size", 128))
            blocks = in_blocks(node, whole, size)
            node.solver.unify(blocks, scales[k])
        else:
            node.solver.unify(dim, scales[k])
        out.append(whole)
    if node.has(3):
        for k, (dim, zero) in enumerate(zip(node.dims(2), node.dims(3), strict=True)):
            packed(node, dim, zero, f"zero points along axis {k}")
    node.set(0, [node.solver.resolve(d) for d in out])


RULES = {
    "MatMulNBits": rule(_product, "all", unmasked=(1, 3), added=(5,)),
    "MatMulBnb4": rule(_bnb4, "all", unmasked=(1,)),
    "GatherBlockQuantized": rule(_gather, "all", unmasked=(0, 3)),
}
