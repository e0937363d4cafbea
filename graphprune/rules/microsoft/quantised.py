"""Operators that read and write integers with one scale and zero point for each operand."""

from __future__ import annotations

from graphprune.dims import Const, Dim, add
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.elementwise import quantize
from graphprune.rules.recurrent import recurrent
from graphprune.rules.reduce import without
from graphprune.rules.rule import rule


def _pair(node: NodeContext) -> None:
    """Both operands have the slot, or are stretched over it."""
    node.set(0, node.same([node.dims(0), node.dims(3)]))


def _where(node: NodeContext) -> None:
    """Every operand has the slot, or is stretched over it."""
    node.set(0, node.same([node.dims(0), node.dims(1), node.dims(4)]))


def _first(node: NodeContext) -> None:
    """The first input's slots."""
    node.set(0, node.dims(0))


def _softmax(node: NodeContext) -> None:
    """Slots along the axis (before opset 13 of all behind it too) are compared."""
    dims = node.dims(0)
    axis = node.axis(int(node.attribute("axis", -1)), len(dims))
    stop = axis + 1 if int(node.attribute("opset", 13)) >= 13 else len(dims)
    for dim in dims[axis:stop]:
        node.freeze(dim, f"compared slot by slot by {node.where}")
    node.set(0, dims)


_MOST_JOINED = 256
_SCALES_OF_JOINED = frozenset(k for k in range(3 * _MOST_JOINED) if k < 2 or k % 3 != 2)


def _concat(node: NodeContext) -> None:
    """`a, b -> a + b` along the axis; every operand comes with its scale and zero point."""
    if node.count() > 3 * _MOST_JOINED:
        raise Barrier(f"it joins more than {_MOST_JOINED} tensors")
    operands = [node.dims(k) for k in range(2, node.count(), 3)]
    axis = node.axis(int(node.attribute("axis", 0)), len(operands[0]))
    rest = node.same([(*d[:axis], Const(1), *d[axis + 1 :]) for d in operands])
    joined: Dim = add(
        node.fixed(1, f"a single slot joined by {node.where}")
        if d[axis].size == 1
        else node.solver.resolve(d[axis])
        for d in operands
    )
    node.set(0, [*rest[:axis], joined, *rest[axis + 1 :]])


def _mean(node: NodeContext) -> None:
    """Slots along the axes are averaged."""
    for dim in _reduced(node):
        node.normalise(dim)


def _sum(node: NodeContext) -> None:
    """Slots along the axes are summed as they are: their zero is not known here."""
    for dim in _reduced(node):
        node.freeze(dim, f"integers are summed by {node.where}")


def _reduced(node: NodeContext) -> list[Dim]:
    dims = node.dims(0)
    axes = [node.axis(int(a), len(dims)) for a in node.attribute("axes") or range(len(dims))]
    node.set(0, without(node, dims, axes, bool(node.attribute("keepdims", 1))))
    return [dims[a] for a in axes]


def _lstm(node: NodeContext) -> str:
    """Like LSTM with transposed integer weights; their scales run along the gates."""
    for dim in node.dims(0):  # inputs are quantised by their range, which zeros do not change
        node.contract(dim, 0, stays=True)
    text = (
        recurrent(4, 2)(node).replace("!r (!4 h) i,", "!r i (!4 h),").replace("!r (!4 h) h,", "!r h (!4 h),")
    )
    inputs, _, outputs = text.partition("->")
    scales = ("!r" if node.rank(k) == 1 else "!r (!4 h)" for k in range(8, 12))
    return f"{inputs}, {', '.join(scales)} -> {outputs}"


RULES = {
    "QuantizeLinear": rule(quantize, "first", unmasked=(1, 2)),
    "DequantizeLinear": rule(quantize, "first", unmasked=(1, 2)),
    "QLinearAdd": rule(_pair, "any", unmasked=(1, 2, 4, 5, 6, 7), aside=(1, 2, 4, 5, 6, 7)),
    "QLinearMul": rule(_pair, "all", unmasked=(1, 2, 4, 5, 6, 7)),
    "MulInteger": rule(
        lambda node: node.set(0, node.same([node.dims(0), node.dims(2)])), "all", unmasked=(1, 3)
    ),
    "QLinearWhere": rule(_where, "any", unmasked=(2, 3, 5, 6, 7, 8), aside=(0, 2, 3, 5, 6, 7, 8)),
    "QLinearLeakyRelu": rule(_first, "first", unmasked=(1, 2, 3, 4)),
    "QLinearSigmoid": rule(_first, "lift", unmasked=(1, 2, 3, 4)),
    "QLinearSoftmax": rule(_softmax, "lift", unmasked=(1, 2, 3, 4)),
    "QLinearConcat": rule(_concat, "keep", unmasked=_SCALES_OF_JOINED),
    "QLinearReduceMean": rule(_mean, "keep", unmasked=(1, 2, 3, 4)),
    "ReduceSumInteger": rule(_sum, "lift"),
    "DynamicQuantizeLSTM": rule(
        _lstm, "all", hidden_size="h", kinds={"h": "hidden"}, unmasked=(8, 9, 10, 11), added=(3, 5, 6)
    ),
}
