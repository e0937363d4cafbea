"""What the whole numbers of an input mean: positions in a table, a mask, a length, a choice.

Random token ids must lie inside the embedding they index, or nothing runs. The graph itself says how
large that is: follow the input through the operators that keep values as they are, and look at who
reads them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import networkx as nx
import numpy as np
import onnx_ir as ir

from graphprune.runtime.consumers import stored_numbers, stored_shape
from graphprune.runtime.dimensions import Sizes, resolve
from graphprune.runtime.positions import SHAPE_POSITIONS

# Operators whose outputs hold values of these inputs, moved around at most.
_KEEPING: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(
        (
            "Identity",
            "Cast",
            "Reshape",
            "Flatten",
            "Unsqueeze",
            "Squeeze",
            "Slice",
            "Expand",
            "Transpose",
            "Split",
            "Tile",
            "Pad",
            "Clip",
            "Abs",
            "Gather",
            "GatherElements",
            "GatherND",
            "Compress",
            "ReduceMax",
            "ReduceMin",
            "DepthToSpace",
            "SpaceToDepth",
            "ScatterND",
            "ScatterElements",
        ),
        (0,),
    ),
    "Where": (1, 2),
    "Concat": tuple(range(64)),
    "Min": tuple(range(8)),
    "Max": tuple(range(8)),
}

# Operators that index: input position of the indices -> of the table, and which axis (None: all).
_INDEXING: Mapping[str, tuple[tuple[int, int, str], ...]] = {
    "Gather": ((1, 0, "axis"),),
    "GatherElements": ((1, 0, "axis"),),
    "GatherND": ((1, 0, "all"),),
    "ScatterElements": ((1, 0, "axis"),),
    "ScatterND": ((1, 0, "all"),),
    "Scatter": ((1, 0, "axis"),),
    "ArrayFeatureExtractor": ((1, 0, "last"),),
    "Embedding": ((1, 0, "axis"),),
    "GatherBlockQuantized": ((1, 0, "gather_axis"),),
    "EmbedLayerNormalization": ((0, 2, "axis"), (1, 4, "axis"), (7, 3, "axis")),
}

_RESHAPING = frozenset({"Expand", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Cast"})
_FEWEST_SYMBOLS, _MOST_SYMBOLS = 3, 1 << 20  # of a one-hot encoding that is written out
_RECURRENT_LENGTHS = {"LSTM": 4, "GRU": 4, "RNN": 4}
SIZE_READERS = frozenset({"Shape", "Size"})  # behind these stand sizes, not values
_COMPARING = frozenset(
    {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Not", "Xor"}
)


class Kind(StrEnum):
    """How the numbers of an input are used."""

    INDEX = "index"
    LENGTH = "length"
    CHOICE = "choice"
    MASK = "mask"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an integer input is for.

    Attributes:
        kind: how it is used.
        bound: indices stay below it.
        choices: constants that it is compared with.
    """

    kind: Kind
    bound: int = 2
    choices: tuple[int, ...] = ()


def value_flow(model: ir.Model) -> "nx.DiGraph[ir.Value]":
    """An edge from each value to each value that holds the same numbers, bodies of nodes included."""
    flow: nx.DiGraph[ir.Value] = nx.DiGraph()
    for node in model.graph.all_nodes():
        flow.add_edges_from(_kept(node))
        flow.add_edges_from(_through_bodies(node))
    return flow


def uses_of_numbers(value: ir.Value, flow: "nx.DiGraph[ir.Value]") -> Iterator[tuple[ir.Node, int]]:
    """The nodes that the numbers of a value reach, moved around at most, and at which of their inputs.

    Args:
        value: any.
        flow: from `value_flow`.
    """
    reached = {value} | (nx.descendants(flow, value) if value in flow else set())
    yield from ((node, position) for item in reached for node, position in item.uses())


def behind(values: Iterable[ir.Value | None]) -> set[ir.Value]:
    """All that values are computed from, but for what only gives its size."""
    queue = [v for v in values if v is not None]
    seen = set(queue)
    while queue:
        node = queue.pop().producer()
        if node is None or node.op_type in SIZE_READERS:
            continue
        fresh = [v for v in node.inputs if v is not None and v not in seen]
        seen |= set(fresh)
        queue += fresh
    return seen


def meaning(value: ir.Value, flow: "nx.DiGraph[ir.Value]", sizes: Sizes) -> Meaning:
    """What the integer input `value` is for, by the nodes that its numbers reach."""
    uses = list(uses_of_numbers(value, flow))
    bounds = [bound for node, position in uses if (bound := _bound(node, position, sizes)) is not None]
    if bounds:
        known = [bound for bound in bounds if bound > 0]
        return Meaning(Kind.INDEX, bound=min(known, default=1))
    if any(_is_length(node, position) for node, position in uses):
        return Meaning(Kind.LENGTH)
    choices = tuple(number for node, position in uses for number in _compared(node, position))
    if choices and value.shape is not None and all(dim == 1 for dim in value.shape):
        return Meaning(Kind.CHOICE, choices=choices)
    if symbols := max((_told_apart(node, position) for node, position in uses), default=0):
        return Meaning(Kind.INDEX, bound=symbols)
    if "mask" in str(value.name).lower() or any(_is_mask_use(node) for node, _ in uses):
        return Meaning(Kind.MASK)
    return Meaning(Kind.NUMBER)


def _kept(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    for position in _KEEPING.get(node.op_type, ()):
        if position >= len(node.inputs):
            return
        source = node.inputs[position]
        if source is not None:
            yield from ((source, output) for output in node.outputs)


def _through_bodies(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Values that enter a Loop or Scan body, and those that leave an If."""
    for attribute in node.attributes.values():
        if attribute.type != ir.AttributeType.GRAPH:
            continue
        body = attribute.as_graph()
        if node.op_type == "If":
            yield from zip(body.outputs, node.outputs, strict=False)
        elif node.op_type in ("Loop", "Scan"):
            # A Loop's body has an iteration number where the node has its trip count.
            pairs = zip(node.inputs, body.inputs, strict=False)
            yield from ((outer, inner) for outer, inner in pairs if outer is not None)


def _bound(node: ir.Node, position: int, sizes: Sizes) -> int | None:
    """One more than the largest index that `node` allows at this input, if it indexes with it."""
    if node.op_type == "OneHot" and position == 0:
        depth = stored_numbers(node.inputs[1])
        return None if depth is None else int(depth.reshape(-1)[0])
    for indices, table, axis in _INDEXING.get(node.op_type, ()):
        if position == indices and table < len(node.inputs):
            return _table_size(node, node.inputs[table], axis, sizes)
    return None


def _table_size(node: ir.Node, table: ir.Value | None, axis: str, sizes: Sizes) -> int:
    """The number of entries of an indexed table, 0 where it is not known."""
    shape = stored_shape(table)
    if shape is None and table is not None and table.shape is not None:
        shape = tuple(_size(dim, sizes) for dim in table.shape)
    if not shape:
        return 0
    if axis == "all":
        return min(shape)
    if axis == "last":
        return shape[-1]
    at = node.attributes[axis].as_int() if axis in node.attributes else 0
    return shape[at] if -len(shape) <= at < len(shape) else 0


def _size(dim: int | ir.SymbolicDim, sizes: Sizes) -> int:
    if isinstance(dim, int):
        return dim
    return resolve(dim.value, sizes) if dim.value is not None and dim.value in sizes else 0


def _is_length(node: ir.Node, position: int) -> bool:
    if _RECURRENT_LENGTHS.get(node.op_type) == position:
        return True
    return node.op_type not in _INDEXING and SHAPE_POSITIONS.get(node.op_type, range(0)).count(position) > 0


def _compared(node: ir.Node, position: int) -> tuple[int, ...]:
    """The whole numbers that `node` compares its input with, if it does."""
    if node.op_type != "Equal":
        return ()
    other = stored_numbers(node.inputs[1 - position])
    if other is None or other.dtype.kind not in "iu" or other.size > 8:
        return ()
    return tuple(int(number) for number in other.reshape(-1))


def _told_apart(node: ir.Node, position: int) -> int:
    """How many symbols a one-hot encoding tells apart that is written as a comparison with 0, 1, 2, ..."""
    if node.op_type != "Equal":
        return 0
    other = node.inputs[1 - position]
    while other is not None and (maker := other.producer()) is not None and maker.op_type in _RESHAPING:
        other = maker.inputs[0]
    numbers = stored_numbers(other, _MOST_SYMBOLS)
    if numbers is None or numbers.dtype.kind not in "iu" or numbers.size < _FEWEST_SYMBOLS:
        return 0
    return numbers.size if (np.sort(numbers, axis=None) == np.arange(numbers.size)).all() else 0


def _is_mask_use(node: ir.Node) -> bool:
    if node.op_type == "Where" or node.op_type in _COMPARING:
        return True
    if node.op_type != "Cast":
        return False
    target = ir.DataType(node.attributes["to"].as_int())
    return target.is_floating_point() or target == ir.DataType.BOOL
