"""Finds the linear operators of a model: the places where removed slots are read, and can be made up for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group, Weight
from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.letters import einsum_letters, matmul_letters
from graphprune.analysis.links import Links
from graphprune.dims.evaluate import slots_of
from graphprune.statistics.layout import (
    ConvLayout,
    Layout,
    MatMulLayout,
    RecurrentLayout,
    StateLayout,
)
from graphprune.statistics.products import product_layout
from graphprune.statistics.transposed import ConvTransposeLayout

Array = NDArray[Any]

_LEAST_MEMORY = 1 << 26  # bytes
# Products of bytes, whose weights cannot be refitted and which have no place for a bias of real numbers.
_OF_BYTES = frozenset(
    "ConvInteger QLinearConv QLinearMatMul MatMulInteger MatMulIntegerToFloat DynamicQuantizeMatMul".split()
)
_WEIGHT_AT = {"QLinearConv": 3, "QLinearMatMul": 3}  # inputs; the second one elsewhere
_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Cast"})


@dataclass(frozen=True, slots=True)
class Linear:
    """One product with a weight.

    Attributes:
        node: name of the operator.
        input: tensor it reads; for recurrent weights the states it gives.
        weight: the initializer that holds the weight.
        shape: of the weight as the operator sees it.
        order: where each element of that lies in the initializer, flat; None if it is the initializer.
        layout: its matrix form.
        output: tensor it gives.
        bias: the initializer that holds its bias, or "" if there is none.
        place: where a bias would go: an input position, "add" for an Add behind the operator, "" for nowhere.
        result: the tensor that holds the product with its bias.
        gain: what the operator multiplies the product with (alpha of Gemm).
        why: why its weight cannot be changed, or "".
        twins: other operators that use the same weight in the same way (steps of an unrolled recurrence).
        outer: the node of the main graph in whose body it is, or "" if it is in the main graph itself.
    """

    node: str
    input: str
    weight: str
    shape: tuple[int, ...]
    order: Array | None
    layout: Layout
    output: str
    bias: str
    place: int | str
    result: str
    gain: float = 1.0
    why: str = ""
    twins: tuple[Linear, ...] = ()
    outer: str = ""

    @property
    def uses(self) -> tuple[Linear, ...]:
        """This operator and its twins."""
        return (self, *self.twins)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Blocks, outputs and columns of its matrix form."""
        blocks, outputs, columns = self.layout.matrix(np.empty(self.shape, np.int8)).shape
        return blocks, outputs, columns

    def view(self, stored: Array) -> Array:
        """The stored weight as the operator sees it."""
        return stored.reshape(self.shape) if self.order is None else stored.reshape(-1)[self.order]

    def stored(self, seen: Array, like: Array) -> Array:
        """The initializer again, from the weight as the operator sees it."""
        if self.order is None:
            return seen.reshape(like.shape).astype(like.dtype)
        flat = np.empty(like.size, dtype=like.dtype)
        flat[self.order] = seen.astype(like.dtype)
        return flat.reshape(like.shape)


def working_memory(item: Linear) -> int:
    """Bytes of the matrices over columns that are held while an operator is scored or refitted.

    For each block those of two halves of the inputs, a covariance and its inverse; two more for the block at
    work.
    """
    blocks, _, columns = item.sizes
    return int(8 * (4 * blocks + 2) * columns**2)


def fits(item: Linear, budget: int) -> bool:
    """Whether an operator can be scored and refitted within so many bytes; a little is always taken."""
    return working_memory(item) <= max(budget, _LEAST_MEMORY)


def find_linear(analysis: Analysis, within: bool = False) -> tuple[Linear, ...]:
    """The linear operators of the main graph, in order; then, if asked for, those within bodies."""
    finder = _Finder(analysis)
    found: dict[str, list[Linear]] = {}
    for item in (*finder.run(), *(finder.run_within() if within else ())):
        found.setdefault(item.weight, []).append(item)
    return tuple(
        joined for items in found.values() for joined in _joined(items, finder.links.uses[items[0].weight])
    )


def _joined(items: list[Linear], uses: int) -> list[Linear]:
    """One operator for all that use a weight in the same way; otherwise its weight must stay as it is."""
    first = items[0]
    if uses == 1:
        return items
    same = all(
        i.layout == first.layout and i.gain == first.gain and not i.why and _same(i.order, first.order)
        for i in items
    )
    if uses == len(items) and same:
        return [replace(first, twins=tuple(items[1:]))]
    return [replace(i, why=i.why or "its weight is used in other ways too") for i in items]


def _same(one: Array | None, other: Array | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


class _Finder:
    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.facts = analysis.facts
        self.links, self.inside = Links.of(self.facts), False

    def run(self) -> Iterator[Linear]:
        for node in self.facts.nodes:
            yield from self._of(node)

    def run_within(self) -> Iterator[Linear]:
        """The operators in bodies; no place for a bias is made there."""
        self.links, self.inside = Links.within(self.facts), True
        for node in self.facts.nodes:
            for inner in (n for body in node.bodies for n in body.all_nodes):
                yield from (replace(item, outer=node.name) for item in self._of(inner))

    def _of(self, node: NodeFacts) -> Iterator[Linear]:
        shapes = self.analysis.recording.shapes
        match node.op:
            case "Conv" | "FusedConv" | "ConvInteger" | "QLinearConv":
                at = _WEIGHT_AT.get(node.op, 1)
                rank = len(shapes.get(node.inputs[at], ())) - 2
                if rank > 0:
                    place = "" if node.op in _OF_BYTES else 2
                    yield from self._make(node, 0, at, _conv(node, rank), place)
            case "ConvTranspose":
                rank = len(shapes.get(node.inputs[1], ())) - 2
                if rank > 0:
                    yield from self._make(node, 0, 1, _conv_transpose(node, rank), 2)
            case "Gemm" | "FusedGemm" if self._weighed(node) and not node.attributes.get("transA"):
                turned = MatMulLayout(turned=bool(node.attributes.get("transB")))
                gain = float(node.attributes.get("alpha", 1.0))
                yield from self._make(node, 0, 1, turned, 2 if _adds_plainly(node) else "", gain)
            case "MatMul" if self._weighed(node) and _is_stacked(*(shapes.get(n, ()) for n in node.inputs)):
                yield from self._make(node, 0, 1, MatMulLayout(), "add")
            case "Gemm" | "FusedGemm" | "MatMul" | "FusedMatMul" | "Einsum":
                yield from self._product(node)
            case op if op in _OF_BYTES:
                at = _WEIGHT_AT.get(op, 1)
                if _is_stacked(*(shapes.get(node.inputs[k], ()) for k in (0, at))):
                    yield from self._make(node, 0, at, MatMulLayout(), "")
            case "LSTM" | "GRU" | "RNN":
                yield from self._make(node, 0, 1, RecurrentLayout(), 3)
                if node.outputs[0] and not node.attributes.get("layout"):
                    yield from self._make(node, node.outputs[0], 2, StateLayout(), 3)

    def _weighed(self, node: NodeFacts) -> bool:
        """Whether the second operand is a weight."""
        return node.inputs[1] in self.facts.constant

    def _product(self, node: NodeFacts) -> Iterator[Linear]:
        """A product of an input and a weight on either side, with axes in any order."""
        constant = [name in self.facts.constant for name in node.inputs[:2]]
        if len(constant) < 2 or constant[0] == constant[1]:
            return
        given = int(constant[0])
        sizes = [self.analysis.recording.shapes.get(n, ()) for n in node.inputs[:2]]
        letters = _letters(node, [len(s) for s in sizes], 1 - given)
        layout = None if letters is None else product_layout(letters, given, sizes)
        if layout is None:
            return
        place: int | str = "add" if layout.trailing(sizes[1 - given]) else ""
        if node.op in ("Gemm", "FusedGemm"):
            place = 2 if place and _adds_plainly(node) else ""
        yield from self._make(node, given, 1 - given, layout, place, float(node.attributes.get("alpha", 1.0)))

    def _make(
        self, node: NodeFacts, given: int | str, at: int, layout: Layout, place: int | str, gain: float = 1.0
    ) -> Iterator[Linear]:
        read = node.inputs[given] if isinstance(given, int) else given
        if read in self.facts.constant or node.inputs[at] not in self.facts.constant:
            return
        name, order, why = self._stored(node.inputs[at])
        if not name:
            return
        weight = self.analysis.weights.get(name)
        shape = self.analysis.recording.shapes.get(node.inputs[at])
        if weight is None or shape is None or weight.made is not None:
            return
        if not why and (weight.quantised is not None or not weight.real):
            why = "its weight is quantised"
        bias, result = self._bias(node, place, shape, layout)
        yield Linear(
            node.name, read, name, shape, order, layout, node.outputs[0], bias, place, result, gain, why
        )

    def _bias(
        self, node: NodeFacts, place: int | str, shape: tuple[int, ...], layout: Layout
    ) -> tuple[str, str]:
        """The bias of an operator, if it is an initializer of its own, and the tensor behind it."""
        output = node.outputs[0]
        if isinstance(place, int):
            name = node.inputs[place] if place < len(node.inputs) else ""
            return (name if self._own(name) else ""), output
        added = self.links.added_to(output)
        if place == "add" and added is not None and output not in self.facts.outputs:
            add, other = added
            sizes = self.analysis.recording.shapes.get(other, ())
            wanted = layout.trailing(shape)
            if (
                self._own(other)
                and wanted
                and sizes[-len(wanted) :] == wanted
                and np.prod(sizes) == np.prod(wanted)
            ):
                return other, add.outputs[0]
            if self.inside and self.links.uses[output] == 1 and sizes[-1:] == shape[-1:]:
                # Gates of a cell are sums of several products and one bias; any of them may move it.
                return self._bias(add, place, shape, layout)[0], output
        return "", output

    def _own(self, name: str) -> bool:
        """Whether this is an initializer of real numbers that only one operator reads."""
        weight = self.analysis.weights.get(name)
        return (
            weight is not None
            and name in self.facts.weights
            and self.links.uses[name] == 1
            and bool(self.facts.weights[name].dtype.is_floating_point())
        )

    def _stored(self, name: str) -> tuple[str, Array | None, str]:
        """The initializer behind a constant tensor, and how its elements were moved on the way."""
        if name in self.facts.weights:
            return name, None, ""
        chain: list[NodeFacts] = []
        while name not in self.facts.weights:
            node = self.links.producer.get(name)
            if node is None or node.domain or node.op not in (*_MOVES, "DequantizeLinear"):
                return "", None, ""
            if self.links.uses.get(name, 0) > 1:
                return "", None, ""
            chain.append(node)
            name = node.inputs[0]
        if any(n.op == "DequantizeLinear" for n in chain):
            return name, None, "its weight is quantised"
        order = np.arange(self.facts.weights[name].size).reshape(
            tuple(int(s) for s in self.facts.weights[name].shape.numpy())
        )
        for node in reversed(chain):
            if node.op == "Transpose":
                order = np.transpose(order, node.attributes.get("perm"))
            else:
                order = order.reshape(self.analysis.recording.shapes[node.outputs[0]])
        return name, order, ""


def _is_stacked(x: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether each stack of rows has a matrix: `(…, stacks, rows, in) x (stacks, in, out)`."""
    stacks = weight[:-2]
    if len(weight) < 2 or not x:
        return False
    return not stacks or (len(x) >= len(weight) and x[-2 - len(stacks) : -2] == stacks)


def _letters(node: NodeFacts, ranks: Sequence[int], weight: int) -> tuple[list[str], str] | None:
    """The letters of a product; None where the input is repeated over axes that only the weight has."""
    if node.op == "Einsum":
        equation = str(node.attributes.get("equation", "")).replace(" ", "")
        operands = equation.partition("->")[0].split(",")
        if len(operands) != 2 or len(operands[weight].replace("...", "")) != ranks[weight]:
            return None
        return einsum_letters(equation, ranks)
    turned = [bool(node.attributes.get(a)) for a in ("transA", "transB")]
    if min(ranks) < 2 or ranks[weight] > ranks[1 - weight]:
        return None
    batched = any(node.attributes.get(a) for a in ("transBatchA", "transBatchB"))
    return None if batched else matmul_letters(ranks, turned)


def _adds_plainly(node: NodeFacts) -> bool:
    """Whether a Gemm adds its last operand as it is."""
    return float(node.attributes.get("beta", 1.0)) == 1.0


def _ints(node: NodeFacts, name: str, default: int, count: int) -> tuple[int, ...]:
    return tuple(int(v) for v in node.attributes.get(name) or [default] * count)


def _conv(node: NodeFacts, rank: int) -> ConvLayout:
    return ConvLayout(
        int(node.attributes.get("group") or 1),
        _ints(node, "strides", 1, rank),
        _ints(node, "dilations", 1, rank),
        _ints(node, "pads", 0, 2 * rank),
        str(node.attributes.get("auto_pad") or "NOTSET"),
    )


def _conv_transpose(node: NodeFacts, rank: int) -> ConvTransposeLayout:
    group, strides = int(node.attributes.get("group") or 1), _ints(node, "strides", 1, rank)
    auto = str(node.attributes.get("auto_pad") or "NOTSET")
    if (
        auto != "NOTSET"
        or node.attributes.get("output_shape")
        or set(_ints(node, "dilations", 1, rank)) != {1}
    ):
        return ConvTransposeLayout(group, strides)
    return ConvTransposeLayout(
        group, strides, _ints(node, "pads", 0, 2 * rank), _ints(node, "output_padding", 0, rank)
    )


def unit_columns(item: Linear, analysis: Analysis, group: Group) -> NDArray[np.int64] | None:
    """Which unit of a group each column belongs to.

    A unit is a slot, or, where the group keeps other slots for each outer one, a pair of both, numbered like
    the group's scores laid out flat.

    Returns:
        Shape `(blocks, columns)`, -1 for columns of none; None if the operator does not contract the group.
    """
    weight = analysis.weights[item.weight]
    if not any(group.atom in d.atoms for d in weight.dims):
        return None
    slots = _along(weight, group.atom)
    units = slots.astype(np.int64)
    stride = group.size
    for outer in reversed(group.outer):
        found = _along(weight, outer)
        units = np.where((units >= 0) & (found >= 0), units + stride * found, -1)
        stride *= analysis.atom_sizes[outer]
    seen = item.layout.matrix(item.view(np.broadcast_to(units, weight.shape)))
    if seen.shape[1] and (seen == seen[:, :1]).all():
        columns = seen[:, 0]
        return columns if (columns >= 0).any() else None
    return None


def _along(weight: Weight, atom: int) -> NDArray[np.int64]:
    """The slot of an atom at every element of a weight, stretching over it; -1 where it has none."""
    found = np.full((1,) * len(weight.shape), -1, np.int64)
    for axis, dim in enumerate(weight.dims):
        if atom in dim.atoms:
            shape = [1] * len(weight.shape)
            shape[axis] = dim.size
            along = slots_of(dim, atom).reshape(shape)
            found = np.where(along >= 0, along, found)
    return found
