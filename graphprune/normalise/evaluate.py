"""Runs one node on constant inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[Any]
_Run = Callable[[onnx.ModelProto, dict[str, Array]], Sequence[Any]]

_NUMPY_TYPES = frozenset(
    ir.DataType[name]
    for name in (
        *("BOOL", "FLOAT16", "FLOAT", "DOUBLE"),
        *("INT8", "INT16", "INT32", "INT64"),
        *("UINT8", "UINT16", "UINT32", "UINT64"),
    )
)


def can_evaluate(dtype: ir.DataType | None) -> bool:
    """Whether arrays of a type can be handed to a runtime as they are."""
    return dtype in _NUMPY_TYPES


def evaluate(
    node: ir.Node, inputs: Sequence[Array | None], opset: int, ir_version: int
) -> list[Array | None] | None:
    """Returns the outputs of `node`, None for those that are not asked for; None if it cannot be run.

    ONNX Runtime is asked first, since that is what most models run in, the reference evaluator second.

    Args:
        node: A node of the default domain without bodies.
        inputs: One array for each input, None for those that are omitted.
        opset: Version of the default domain.
        ir_version: Version for the model of one node that is run.
    """
    model = _model(node, inputs, opset, ir_version)
    feeds = {f"i{index}": array for index, array in enumerate(inputs) if array is not None}
    for run in (_onnxruntime(), _reference):
        if run is None:
            continue
        try:
            results = run(model, feeds)
        except Exception:  # whatever a runtime raises, the node is then left as it is
            continue
        if any(not isinstance(result, (np.ndarray, np.generic)) for result in results):
            return None  # a sequence or an optional
        remaining = iter(results)
        return [np.asarray(next(remaining)) if value.name else None for value in node.outputs]
    return None


def announced_bytes(node: ir.Node, inputs: Sequence[Array | None]) -> int:
    """Returns the size of a result that a few numbers can make large; 0 for all other operators."""
    arrays = [array for array in inputs if array is not None]
    if node.op_type == "ConstantOfShape":
        return math.prod(map(int, arrays[0])) * 8
    if node.op_type in ("Expand", "Tile") and len(arrays) == 2:
        sizes = tuple(map(int, arrays[1]))
        if node.op_type == "Tile":
            return math.prod(sizes) * arrays[0].nbytes
        return math.prod(np.broadcast_shapes(arrays[0].shape, sizes)) * arrays[0].itemsize
    if node.op_type == "Range" and len(arrays) == 3:
        start, limit, delta = (float(array.ravel()[0]) for array in arrays)
        return int(abs((limit - start) / delta)) * arrays[0].itemsize if delta else 0
    return 0


def _model(node: ir.Node, inputs: Sequence[Array | None], opset: int, ir_version: int) -> onnx.ModelProto:
    proto = ir.to_proto(node)
    del proto.input[:], proto.output[:], proto.metadata_props[:]
    proto.input.extend("" if array is None else f"i{index}" for index, array in enumerate(inputs))
    proto.output.extend(f"o{index}" if value.name else "" for index, value in enumerate(node.outputs))
    graph = onnx.helper.make_graph(
        [proto],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                f"i{index}", onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for index, array in enumerate(inputs)
            if array is not None
        ],
        [onnx.ValueInfoProto(name=name) for name in proto.output if name],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir_version
    )


@functools.cache
def _onnxruntime() -> _Run | None:
    try:
        import onnxruntime as ort
    except ImportError:
        return None
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL

    def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> Sequence[Any]:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results: Sequence[Any] = session.run(None, feeds)
        return results

    return run


def _reference(model: onnx.ModelProto, feeds: dict[str, Array]) -> Sequence[Any]:
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(model).run(None, feeds))
