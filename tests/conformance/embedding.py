"""ONNX's own node tests as small networks: the data of a test become weights, so that there is something to cut.

    level = 0.75 + sigmoid(feed)    the only input, one positive number
    operands                        the first, or all real ones, times level; the others are weights as they are
    outputs                         times a weight with a new first axis, summed over all other axes

Every axis of every operand is then a dimension that may be cut, as far as the operator allows.
"""

from __future__ import annotations

import functools
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_REAL = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_NUMBERS = _REAL | {
    *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL),
    *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
}
_READINGS = 4
_NEWEST_IR = 13


@dataclass(frozen=True, slots=True)
class NodeCase:
    """One of ONNX's node tests.

    Attributes:
        name: of the test.
        op: the operator it is about; "" if it has several nodes.
        model: as ONNX has it.
        inputs: data of the inputs.
        outputs: what they should give.
    """

    name: str
    op: str
    model: onnx.ModelProto
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@functools.cache
def node_cases() -> tuple[NodeCase, ...]:
    """All node tests of the installed ONNX whose operands and results are plain tensors."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they divide by zero on purpose
        found = collect_testcases(None)
    return tuple(_cases(found))


def _cases(found: list[Any]) -> Iterator[NodeCase]:
    for case in found:
        graph = case.model.graph
        kinds = [v.type for v in (*graph.input, *graph.output)]
        plain = all(
            k.WhichOneof("value") == "tensor_type" and k.tensor_type.elem_type in _NUMBERS for k in kinds
        )
        known = any(o.domain in ("", "ai.onnx") and o.version >= 7 for o in case.model.opset_import)
        if not plain or not known or not case.data_sets or graph.initializer:
            continue
        inputs, outputs = case.data_sets[0]
        ops = [n.op_type for n in graph.node]
        yield NodeCase(case.name, ops[0] if len(ops) == 1 else "", case.model, tuple(inputs), tuple(outputs))


def embedded(case: NodeCase, *, all_operands: bool) -> onnx.ModelProto:
    """The network around the nodes of a test.

    Args:
        case: the test.
        all_operands: every real operand is an activation, not only the first.
    """
    graph = onnx.GraphProto(name=case.name)
    graph.input.append(helper.make_tensor_value_info("feed", TensorProto.FLOAT, [1]))
    _add(graph, "Sigmoid", ["feed"], "feed_sigmoid")
    graph.initializer.append(numpy_helper.from_array(np.array([0.75], np.float32), "three_quarters"))
    _add(graph, "Add", ["feed_sigmoid", "three_quarters"], "feed_level")
    first = True
    for value, data in zip(case.model.graph.input, case.inputs, strict=True):
        kind = value.type.tensor_type.elem_type
        real = kind in _REAL and _array(data).ndim > 0
        moved = real and (first or all_operands)
        first = first and not real
        name = f"{value.name}_data" if moved else value.name
        graph.initializer.append(_tensor(data, kind, name))
        if moved:
            _add(graph, "Cast", ["feed_level"], f"{value.name}_s", to=kind)
            _add(graph, "Mul", [name, f"{value.name}_s"], value.name)
    graph.node.extend(case.model.graph.node)
    for value, data in zip(case.model.graph.output, case.outputs, strict=True):
        _read(graph, value.name, _array(data).shape, _opset(case.model))
    model = helper.make_model(graph, opset_imports=case.model.opset_import)
    model.ir_version = min(case.model.ir_version, _NEWEST_IR)
    model.functions.extend(case.model.functions)
    return model


def _opset(model: onnx.ModelProto) -> int:
    return max(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _read(graph: onnx.GraphProto, name: str, shape: tuple[int, ...], opset: int) -> None:
    """Sums of an output, each weighted in its own way."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    weight = draw.normal(size=(_READINGS, *shape)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(weight, f"{name}_weight"))
    _add(graph, "Cast", [name], f"{name}_real", to=TensorProto.FLOAT)
    _add(graph, "Mul", [f"{name}_real", f"{name}_weight"], f"{name}_weighted")
    axes = np.arange(1, weight.ndim, dtype=np.int64)
    if not axes.size:
        _add(graph, "Identity", [f"{name}_weighted"], f"{name}_read")
    elif opset < 13:
        _add(graph, "ReduceSum", [f"{name}_weighted"], f"{name}_read", keepdims=0, axes=axes.tolist())
    else:
        graph.initializer.append(numpy_helper.from_array(axes, f"{name}_axes"))
        _add(graph, "ReduceSum", [f"{name}_weighted", f"{name}_axes"], f"{name}_read", keepdims=0)
    graph.output.append(helper.make_tensor_value_info(f"{name}_read", TensorProto.FLOAT, [_READINGS]))


def _tensor(data: Any, kind: int, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(_array(data).astype(helper.tensor_dtype_to_np_dtype(kind)), name)


def _array(data: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(data) if isinstance(data, onnx.TensorProto) else np.asarray(data)


def _add(graph: onnx.GraphProto, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
    graph.node.append(helper.make_node(op, inputs, [output], f"{output}_{op}", **attributes))
