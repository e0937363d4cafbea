"""Operators that work slot by slot, with numpy broadcasting."""

from __future__ import annotations

import numpy as np

from graphprune.dims import Atom, Const, Dim, add
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.effects import InputPositions
from graphprune.rules.rule import Rule, Zero, rule

# f(0) = 0: a slot whose weights are zero stays zero.
KEEP_ZERO = (
    "Abs Asin Asinh Atan Atanh BitCast Cast CastLike Ceil Celu Elu Erf Floor Gelu HardSwish Identity "
    "LeakyRelu Mish Neg PRelu Relu Round Selu Shrink Sign Sin Sinh Softsign Sqrt Swish "
    "Tan Tanh ThresholdedRelu"
).split()
LIFT_ZERO = (
    "Acos Acosh BitwiseNot Clip Cos Cosh Exp HardSigmoid IsInf IsNaN Log Not Reciprocal Sigmoid Softplus"
).split()
LIFT_PAIR = "BitShift BitwiseOr BitwiseXor Greater GreaterOrEqual Less LessOrEqual Or Pow Xor".split()


def broadcast(node: NodeContext) -> None:
    """Every operand has the slot, or is stretched over it."""
    dims = node.same([node.dims(k) for k in range(node.count()) if node.has(k)])
    for index, shape in enumerate(node.output_shapes):
        if shape is not None:
            node.set(index, dims)


def unary(node: NodeContext) -> None:
    """The first input's slots; what else is given (bounds, ratios) are scalars."""
    for index, shape in enumerate(node.output_shapes):
        if shape is not None:
            node.set(index, node.dims(0))


def _dropout(node: NodeContext) -> None:
    """The first input's slots, as they are; in training mode random ones, which nobody can repeat."""
    if node.has(2) and (node.truth(2) is None or node.truth(2)):
        raise Barrier("in training mode its random numbers depend on how many are drawn")
    unary(node)


def _prelu(node: NodeContext) -> None:
    """The slope stretches to the input, never the other way."""
    node.same([node.dims(0), node.dims(1)])
    node.set(0, node.dims(0))


def _equal(node: NodeContext) -> None:
    """Slot by slot; positions beside all positions there are make an axis like the one they are along."""
    dims = [node.dims(0), node.dims(1)]
    for k in (0, 1):
        table, pointed = node.value(1 - k), node.pointed(k)
        if pointed is None:
            continue
        slot = -1 if table is None or table.size != 1 else int(table.ravel()[0])
        if isinstance(pointed, Atom) and table is not None and 0 <= slot < pointed.size:
            node.branch(pointed, slot)
            node.say(InputPositions(node.name, 1 - k, pointed, table.astype(np.int64)))
            continue
        axes = [a for a, d in enumerate(dims[1 - k]) if d.size == pointed.size]
        if table is None or len(axes) != 1 or not np.array_equal(np.ravel(table), np.arange(pointed.size)):
            node.freeze(pointed, f"its positions are compared with numbers by {node.where}")
            continue
        node.solver.unify(dims[1 - k][axes[0]], pointed)
        node.say(InputPositions(node.name, 1 - k, pointed, table.astype(np.int64)))
        node.silent(pointed)
    node.set(0, node.same(dims))


def _clip_zero(lower: float, upper: float) -> Zero:
    return "keep" if lower <= 0 <= upper else "lift"


def _table(names: list[str], relate: object, zero: Zero) -> dict[str, Rule]:
    return {name: rule(relate, zero) for name in names}  # type: ignore[arg-type]


RULES = {
    **_table(KEEP_ZERO, unary, "keep"),
    **_table(LIFT_ZERO, unary, "lift"),
    **_table(LIFT_PAIR, broadcast, "lift"),
    **_table("Add Sub Sum Max Min Mean".split(), broadcast, "any"),
    **_table("Mul And BitwiseAnd".split(), broadcast, "all"),
    "Pow": rule(broadcast, "lift", unmasked=(1,)),
    "Div": rule(broadcast, "divide", unmasked=(1,)),
    "Mod": rule(broadcast, "divide", unmasked=(1,)),
    "Where": rule(broadcast, "any", aside=(0,)),
    "SwiGLU": rule(broadcast, "all"),
    "Dropout": rule(_dropout, "keep"),
    "Equal": rule(_equal, "lift"),
    "PRelu": rule(_prelu, "keep"),
}


def in_blocks(node: NodeContext, dim: Dim, size: int) -> Dim:
    """The blocks of an axis: each stays whole, and a last one that is cut short stays where it is."""
    full = dim.size // size
    whole, rest = node.solver.split(dim, full * size)
    node.freeze(rest, f"quantised in blocks of {size}, the last of them cut short, by {node.where}")
    blocks, inside = node.solver.factor(whole, full) if full else (Const(0), Const(0))
    node.freeze(inside, f"quantised in blocks of {size} by {node.where}: only whole blocks can go")
    last = [Const(1, f"the last block of {node.where}, which is cut short")] if rest.size else []
    return add([node.solver.resolve(blocks), *last])


def quantize(node: NodeContext) -> None:
    """Scales and zero points are scalars, or run along one axis with the data, slot by slot or in blocks."""
    dims = node.dims(0)
    axis = node.axis(int(node.attribute("axis", 1)), len(dims)) if dims else 0
    size = int(node.attribute("block_size", 0) or 0)
    for index in (1, 2):
        if size and node.has(index):
            blocks = in_blocks(node, node.dims(0)[axis], size)
            node.same([node.dims(index), (*node.dims(0)[:axis], blocks, *node.dims(0)[axis + 1 :])])
        elif node.has(index) and node.rank(index) == 1 and node.shape(index)[0] != 1:
            node.solver.unify(node.dims(index)[0], dims[axis])
    node.set(0, node.dims(0))


def _quantize_by_range(node: NodeContext) -> None:
    """The scale follows from the range of all slots and zero, so slots that hold zero do not change it."""
    for dim in node.dims(0):
        node.contract(dim, 0, stays=True)
    node.set(0, node.dims(0))
    node.set(1, ())
    node.set(2, ())


RULES["QuantizeLinear"] = rule(quantize, "first", unmasked=(1, 2))
RULES["DequantizeLinear"] = rule(quantize, "first", unmasked=(1, 2))
RULES["DynamicQuantizeLinear"] = rule(_quantize_by_range, "keep")
