"""Static shape inference, for models that cannot run: weights left out, free sizes fixed."""

import onnx
import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.runtime.dimensions import Sizes, input_shape, real_inputs

# Constants up to this many elements may decide a shape and keep their value.
_SMALL = 1024


def infer_shapes(model: ir.Model, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of the main graph that inference resolves completely.

    Raises:
        ModelError: the model is so broken that inference gives up.
    """
    proto = _weightless(model, sizes)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception as error:  # the extension raises whatever its parts raise
        raise ModelError(f"shape inference gave up: {' '.join(str(error).split())[:240]}") from error
    known = (inferred.graph.input, inferred.graph.value_info, inferred.graph.output)
    entries = ((info.name, _concrete(info.type)) for part in known for info in part)
    return {name: shape for name, shape in entries if shape is not None}


def _weightless(model: ir.Model, sizes: Sizes) -> onnx.ModelProto:
    """A copy without weights: large initializers become inputs, which have a shape but no numbers."""
    copy = model.clone()
    graph = copy.graph
    for value in real_inputs(copy):
        value.shape = ir.Shape(input_shape(value, sizes))
    for node in graph:
        for output in node.outputs:
            # Shipped shapes may be wrong, and inference believes them.
            output.shape = None
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.size <= _SMALL:
            continue
        value.shape = ir.Shape(tensor.shape.numpy())
        value.dtype = tensor.dtype
        value.const_value = None
        del graph.initializers[name]
        if not value.is_graph_input():
            graph.inputs.append(value)
    return ir.to_proto(copy)


def _concrete(kind: onnx.TypeProto) -> tuple[int, ...] | None:
    """The shape of a tensor type if every size is a number."""
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    if any(dim.WhichOneof("value") != "dim_value" for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)
