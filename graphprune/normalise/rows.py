"""Rows that nobody reads are not computed.

A classifier that takes one token out of a sequence (`x[:, 0]`) still computes its last layers for all of
them: norms, perceptrons and projections treat every row by itself. Taking the rows out before those layers
instead of after gives the same numbers for a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

Shapes = Mapping[str, tuple[int, ...]]

_ELEMENTWISE = frozenset(
    """Abs Add Cast Celu Clip Cos Div Dropout Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log
    Max Min Mish Mul Neg PRelu Pow Reciprocal Relu Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum
    Swish Tanh ThresholdedRelu Where""".split()
)
_MICROSOFT = frozenset({"BiasGelu", "FastGelu", "Gelu", "QuickGelu"})
_PRODUCTS = frozenset({"MatMul", "Gemm"})
_ALONG_LAST = frozenset({"LayerNormalization", "RMSNormalization", "Softmax", "LogSoftmax"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "ReduceMax", "ReduceMin"})


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A tensor of which all readers take a few rows: which, along which axis counted from the end."""

    tensor: ir.Value
    back: int
    readers: Mapping[ir.Node, tuple[int, ...]]

    @property
    def rows(self) -> tuple[int, ...]:
        """All rows that are read."""
        return tuple(dict.fromkeys(r for rows in self.readers.values() for r in rows))


def narrowed(model: ir.Model, shapes: Shapes) -> ir.Model | None:
    """A copy of a normalised model in which rows are taken out as early as can be; None if nothing changes.

    Args:
        model: a normalised model; it is not changed.
        shapes: of every tensor, at some sizes of the free dimensions.
    """
    if not any(_worth(region) for _, region in _found(model, shapes)):
        return None
    copy = model.clone()
    for chosen, region in tuple(_found(copy, shapes)):
        if _worth(region):
            _move(copy.graph, chosen, region, shapes)
    return copy


def _worth(region: Sequence[ir.Node]) -> bool:
    return any(n.op_type in _PRODUCTS for n in region)


def _found(model: ir.Model, shapes: Shapes) -> list[tuple[_Chosen, list[ir.Node]]]:
    nodes = [n for n in model.graph if not n.domain]
    tensors = dict.fromkeys(n.inputs[0] for n in nodes if n.op_type in ("Gather", "Slice") and n.inputs[0])
    found = [c for t in tensors if t is not None and (c := _chosen(t, shapes)) is not None]
    return [(c, _region(model.graph, c, shapes)) for c in found]


# -- which rows ---------------------------------------------------------------------------------


def _chosen(tensor: ir.Value, shapes: Shapes) -> _Chosen | None:
    shape = shapes.get(str(tensor.name), ())
    if len(shape) < 2 or tensor.is_graph_output() or tensor.producer() is None:
        return None
    readers: dict[ir.Node, tuple[int, ...]] = {}
    axes = set()
    for node, place in tensor.uses():
        rows = _rows(node, len(shape)) if place == 0 and not node.domain else None
        if rows is None:
            return None
        readers[node] = rows[1]
        axes.add(rows[0])
    chosen = _Chosen(tensor, len(shape) - min(axes), readers) if len(axes) == 1 else None
    if chosen is None or chosen.back < 2 or len(chosen.rows) >= shape[min(axes)]:
        return None
    return chosen


def _rows(node: ir.Node, rank: int) -> tuple[int, tuple[int, ...]] | None:
    """The axis and the rows that a node takes, if that is all it does."""
    if node.op_type == "Gather":
        indices = _constant(node.inputs[1])
        if indices is None or indices.ndim > 1:
            return None
        return int(_attribute(node, "axis", 0)) % rank, tuple(int(i) for i in indices.ravel())
    if node.op_type != "Slice" or len(node.inputs) < 3:
        return None
    starts, ends, axes, steps = (
        _constant(node.inputs[k]) if k < len(node.inputs) and node.inputs[k] is not None else None
        for k in (1, 2, 3, 4)
    )
    if starts is None or ends is None or axes is None or starts.size != 1:
        return None
    if steps is not None and int(steps[0]) != 1:
        return None
    start, end = int(starts[0]), int(ends[0])
    if end == start + 1 != 0 or (start == -1 and end >= np.iinfo(np.int32).max):
        return int(axes[0]) % rank, (start,)
    return None


def _constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    tensor = None if value is None or not value.is_initializer() else value.const_value
    return None if tensor is None else tensor.numpy()


def _attribute(node: ir.Node, name: str, default: Any) -> Any:
    return node.attributes[name].value if name in node.attributes else default


# -- what they are computed by ------------------------------------------------------------------


def _region(graph: ir.Graph, chosen: _Chosen, shapes: Shapes) -> list[ir.Node]:
    """The nodes that work row by row and that nothing reads but the chosen rows, in order."""
    shape = shapes[str(chosen.tensor.name)]
    rows = shape[-chosen.back]
    inside: set[ir.Node] = set()
    readers = set(chosen.readers)
    found: list[ir.Node] = []
    for node in reversed(tuple(graph)):
        outputs = [o for o in node.outputs if o.name and (o.uses() or o.is_graph_output())]
        if not outputs or any(o.is_graph_output() for o in outputs):
            continue
        users = {u for o in outputs for u, _ in o.uses()}
        if not users <= inside | readers or not users & (inside | readers):
            continue
        if users & readers and outputs != [chosen.tensor]:
            continue
        if _row_by_row(node, chosen.back, rows, shapes):
            inside.add(node)
            found.append(node)
    return _without_weights(found[::-1], chosen.back, rows, shapes)


def _without_weights(region: list[ir.Node], back: int, rows: int, shapes: Shapes) -> list[ir.Node]:
    """Nothing, where a stored table has a value for each row: it would have to be cut too."""
    for node in region:
        for value in node.inputs:
            if value is not None and value.is_initializer() and _has_rows(value, back, rows, shapes):
                if node.op_type in _PRODUCTS and value is node.inputs[1]:
                    continue
                return []
    return region


def _has_rows(value: ir.Value, back: int, rows: int, shapes: Shapes) -> bool:
    shape = shapes.get(str(value.name), ())
    return len(shape) >= back and shape[-back] == rows != 1


def _row_by_row(node: ir.Node, back: int, rows: int, shapes: Shapes) -> bool:
    """Whether each row of the output depends on the same row of the inputs alone."""
    own = node.domain == "com.microsoft" and node.op_type in _MICROSOFT
    if (node.domain and not own) or any(
        shapes.get(str(v.name)) is None for v in node.inputs if v is not None
    ):
        return False
    if not _has_rows(node.outputs[0], back, rows, shapes) or any(o.uses() for o in node.outputs[1:]):
        return False
    first = node.inputs[0]
    if own or node.op_type in _ELEMENTWISE:
        return True
    if first is None or not _has_rows(first, back, rows, shapes):
        return False
    rank = len(shapes[str(first.name)])
    if node.op_type == "MatMul":
        weight = node.inputs[1]
        return weight is not None and weight.is_initializer() and len(shapes[str(weight.name)]) == 2
    if node.op_type == "Gemm":
        weight = node.inputs[1]
        return weight is not None and weight.is_initializer() and not _attribute(node, "transA", 0)
    if node.op_type in _ALONG_LAST:
        modern = node.op_type.endswith("Normalization") or (node.version or (node.graph and 13)) >= 13  # type: ignore[operator]
        return bool(modern) and int(_attribute(node, "axis", -1)) % rank == rank - 1
    if node.op_type in _REDUCTIONS and int(_attribute(node, "keepdims", 1)):
        axes = _attribute(node, "axes", None)
        if axes is None and len(node.inputs) > 1:
            given = _constant(node.inputs[1])
            axes = None if given is None else given.tolist()
        return bool(axes) and all(int(a) % rank == rank - 1 for a in axes)
    return False


# -- the move -----------------------------------------------------------------------------------


def _move(graph: ir.Graph, chosen: _Chosen, region: Sequence[ir.Node], shapes: Shapes) -> None:
    """Take the rows out of what the region reads; its readers find them at new places."""
    rows = shapes[str(chosen.tensor.name)][-chosen.back]
    names = {v.name for n in graph for v in n.outputs} | set(graph.initializers)

    def constant(base: str, numbers: Sequence[int] | int) -> ir.Value:
        name = next(n for n in (base, *(f"{base}_{k}" for k in range(len(names) + 1))) if n not in names)
        names.add(name)
        tensor = ir.tensor(np.array(numbers, np.int64), name=name)
        made = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)  # type: ignore[arg-type]
        graph.register_initializer(made)
        return made

    base = str(chosen.tensor.name)
    which = constant(f"{base}_rows", chosen.rows)
    inside = set(region)
    taken: dict[ir.Value, ir.Value] = {}
    for node in region:
        for place, value in enumerate(node.inputs):
            if value is None or value.producer() in inside or value.is_initializer():
                continue
            if not _has_rows(value, chosen.back, rows, shapes):
                continue
            if value not in taken:
                axis = len(shapes[str(value.name)]) - chosen.back
                name = f"{value.name}_taken"
                gather = ir.node("Gather", [value, which], {"axis": axis}, name=f"{node.name}_rows_{place}")
                gather.outputs[0].name = name if name not in names else f"{name}_{base}"
                gather.outputs[0].type = value.type
                names.add(gather.outputs[0].name)
                graph.insert_before(node, gather)
                taken[value] = gather.outputs[0]
            node.replace_input_with(place, taken[value])
        for output in node.outputs:
            output.shape = None
    for number, (reader, wanted) in enumerate(chosen.readers.items()):
        at = [chosen.rows.index(r) for r in wanted]
        if reader.op_type == "Slice":
            reader.replace_input_with(1, constant(f"{base}_start_{number}", at))
            reader.replace_input_with(2, constant(f"{base}_end_{number}", [at[0] + 1]))
        else:
            indices = _constant(reader.inputs[1])
            scalar = indices is not None and not indices.ndim
            reader.replace_input_with(1, constant(f"{base}_row_{number}", at[0] if scalar else at))
