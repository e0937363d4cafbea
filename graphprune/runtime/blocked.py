"""How many channels stand side by side where ONNX Runtime lays pictures out for this processor."""

import functools

import numpy as np
import onnx
import onnx_ir as ir

from graphprune.errors import RuntimeMissingError
from graphprune.runtime import storage
from graphprune.runtime.ort import onnxruntime

_FATAL_ONLY = 4
_CONVOLUTION = """<ir_version: 8, opset_import: ["" : 17]>
one (float[1, 3, 4, 4] x) => (float[1, 4, 4, 4] y) <float[4, 3, 1, 1] w> { y = Conv(x, w) }"""


@functools.cache
def block_size() -> int | None:
    """The number of channels in a block on this machine; None where the runtime makes no blocks."""
    folder = storage.private_folder()
    try:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(folder / "blocked.onnx")
        runtime.InferenceSession(_small(), options, providers=["CPUExecutionProvider"])
        graph = ir.load(folder / "blocked.onnx").graph
        for node in graph:
            weight = node.inputs[1].const_value if node.op_type == "Conv" and node.inputs[1] else None
            if node.domain == "com.microsoft.nchwc" and weight is not None:
                return int(weight.shape.numpy()[0])
        return None
    except (RuntimeMissingError, RuntimeError, OSError):
        return None
    finally:
        storage.remove_folder(folder)


def _small() -> bytes:
    """A convolution with fewer channels than any block has, which the runtime fills up."""
    model = onnx.parser.parse_model(_CONVOLUTION)
    model.graph.ClearField("value_info")
    weight = np.ones((4, 3, 1, 1), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return bytes(model.SerializeToString())
