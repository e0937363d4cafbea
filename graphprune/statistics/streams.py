"""Finds residual streams that may be turned: tensors of one width that are only added up and normalised.

A stream is what layers write into by addition and read through a norm. A norm that divides by the length of a
row does not see in which basis the row is written, so the whole stream may be (Ashkboos et al., "SliceGPT",
ICLR 2024). Streams whose norms lie between them and the next addition (post-norm) are none of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

Shapes = Mapping[str, tuple[int, ...]]

_ALONG_ROWS = frozenset({"Gather", "Slice", "Concat", "Identity", "Dropout"})


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm over the last axis.

    Attributes:
        read: the tensor of the stream.
        given: what it gives, scale and bias included.
        core: the node that divides, whose first output is without scale and bias (the same node as that of
            `given` if it is one operator).
        mean: the node that takes the mean of squares; None if the norm is one operator.
        centred: it takes the mean away first.
        epsilon: that is added to the mean of squares.
        scale, bias: by channel.
    """

    read: ir.Value
    given: ir.Value
    core: ir.Node
    mean: ir.Node | None
    centred: bool
    epsilon: float
    scale: ir.Value | None
    bias: ir.Value | None


@dataclass(slots=True)
class Stream:
    """Tensors that are one basis together.

    Attributes:
        width: of their last axis.
        tensors: that are sums of others, or rows of them.
        norms: that read them.
    """

    width: int
    tensors: dict[ir.Value, None] = field(default_factory=dict)
    norms: list[Norm] = field(default_factory=list)

    @property
    def centred(self) -> bool:
        """Whether the mean of each row is of no consequence."""
        return all(n.centred for n in self.norms)


def find_streams(model: ir.Model, shapes: Shapes) -> list[Stream]:
    """The streams of a normalised model that more than one norm reads, all norms of one kind."""
    norms = {n.read: [] for n in _norms(model.graph, shapes)}  # type: dict[ir.Value, list[Norm]]
    for norm in _norms(model.graph, shapes):
        norms[norm.read].append(norm)
    found, seen = [], set[ir.Value]()
    for start in norms:
        if start in seen:
            continue
        stream = Stream(shapes[str(start.name)][-1])
        stack = [start]
        while stack:
            value = stack.pop()
            if value in stream.tensors:
                continue
            stream.tensors[value] = None
            stack += _beside(value, stream.width, shapes)
        seen.update(stream.tensors)
        stream.norms = [n for value in stream.tensors for n in norms.get(value, ())]
        if len(stream.norms) > 1 and len({n.centred for n in stream.norms}) == 1:
            found.append(stream)
    return found


def joins(node: ir.Node | None, width: int, shapes: Shapes) -> bool:
    """Whether a node adds rows of a stream, or passes on some of them."""
    if node is None or node.domain or node.op_type not in {"Add", *_ALONG_ROWS}:
        return False
    shape = shapes.get(str(node.outputs[0].name), ())
    if len(shape) < 2 or shape[-1] != width:
        return False
    if node.op_type == "Add":
        return all(v is not None and _width(v, shapes) == width for v in node.inputs)
    first = node.inputs[0]
    if first is None or first.const_value is not None or _width(first, shapes) != width:
        return False
    if node.op_type in ("Gather", "Concat"):
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        return axis % len(shapes[str(first.name)]) != len(shapes[str(first.name)]) - 1
    if node.op_type == "Slice":
        axes = node.inputs[3].const_value if len(node.inputs) > 3 and node.inputs[3] is not None else None
        rank = len(shapes[str(first.name)])
        return axes is not None and all(int(a) % rank != rank - 1 for a in axes.numpy().ravel())
    return True


def _width(value: ir.Value, shapes: Shapes) -> int:
    shape = (
        value.const_value.shape.numpy() if value.const_value is not None else shapes.get(str(value.name), ())
    )
    return int(shape[-1]) if shape else 0


def _beside(value: ir.Value, width: int, shapes: Shapes) -> Iterator[ir.Value]:
    """Tensors of the stream next to one: operands it is the sum of, and sums it is an operand of."""
    maker = value.producer()
    if joins(maker, width, shapes):
        assert maker is not None
        for operand in operands(maker):
            if joins(operand.producer(), width, shapes) or _normed(operand):
                yield operand
    for reader, place in value.uses():
        if joins(reader, width, shapes) and place < len(operands(reader)):
            yield reader.outputs[0]


def operands(node: ir.Node) -> tuple[ir.Value, ...]:
    """The inputs of a node that joins which hold rows."""
    given = node.inputs if node.op_type in ("Add", "Concat") else node.inputs[:1]
    return tuple(v for v in given if v is not None)


def _normed(value: ir.Value) -> bool:
    return any(r.op_type in ("LayerNormalization", "Pow", "RMSNormalization") for r, _ in value.uses())


# -- norms --------------------------------------------------------------------------------------


def _norms(graph: ir.Graph, shapes: Shapes) -> Iterator[Norm]:
    for node in graph:
        if node.domain or not node.inputs or node.inputs[0] is None:
            continue
        rank = len(shapes.get(str(node.inputs[0].name), ()))
        if rank < 2:
            continue
        if node.op_type in ("LayerNormalization", "RMSNormalization"):
            axis = node.attributes["axis"].as_int() if "axis" in node.attributes else -1
            if axis % rank == rank - 1 and not any(v.uses() for v in node.outputs[1:]):
                yield _fused(node)
        elif node.op_type == "ReduceMean" and (found := _written_out(node, rank)) is not None:
            yield found


def _fused(node: ir.Node) -> Norm:
    read = node.inputs[0]
    assert read is not None
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    centred = node.op_type == "LayerNormalization"
    return Norm(read, node.outputs[0], node, None, centred, epsilon, node.inputs[1], bias)


def _written_out(mean: ir.Node, rank: int) -> Norm | None:
    """`x / sqrt(mean(x^2) + epsilon) * scale`, one operator after the other."""
    square = mean.inputs[0].producer() if mean.inputs[0] is not None else None
    if square is None or not _is_square(square) or not _over_last(mean, rank):
        return None
    read = square.inputs[0]
    added = _only_reader(mean.outputs[0], "Add")
    root = _only_reader(added.outputs[0], "Sqrt") if added is not None else None
    turned = _only_reader(root.outputs[0], "Reciprocal") if root is not None else None
    core = None
    if turned is not None:
        core = _only_reader(turned.outputs[0], "Mul")
    elif root is not None:
        core = _only_reader(root.outputs[0], "Div")
    if core is None or read is None or read not in core.inputs or added is None:
        return None
    if core.op_type == "Div" and core.inputs[0] is not read:
        return None
    last = _only_reader(core.outputs[0], "Mul")
    scale = next((v for v in last.inputs if v is not core.outputs[0]), None) if last is not None else None
    if last is None or scale is None or scale.const_value is None or scale.const_value.shape.rank() != 1:
        return Norm(read, core.outputs[0], core, mean, False, 0.0, None, None)
    return Norm(read, last.outputs[0], core, mean, False, 0.0, scale, None)


def _is_square(node: ir.Node) -> bool:
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    power = node.inputs[1].const_value if node.op_type == "Pow" and node.inputs[1] is not None else None
    return power is not None and power.size == 1 and float(np.ravel(power.numpy())[0]) == 2.0


def _over_last(node: ir.Node, rank: int) -> bool:
    if "keepdims" in node.attributes and not node.attributes["keepdims"].as_int():
        return False
    if "axes" in node.attributes:
        axes = list(node.attributes["axes"].as_ints())
    else:
        given = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
        axes = [] if given is None else [int(a) for a in given.numpy().ravel()]
    return [a % rank for a in axes] == [rank - 1]


def _only_reader(value: ir.Value, op: str) -> ir.Node | None:
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0][0].op_type != op or uses[0][0].domain:
        return None
    return uses[0][0]
