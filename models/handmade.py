"""Small graphs written by hand, one for each classical way in which channels of a network are tied together.

Each builder returns an ONNX model with seeded random weights; its docstring says what is tied to what. The
weights keep activations near one and gains are far from zero, so that masking a channel shows in the output.

    HANDMADE["residual_add"]()          the model
    feeds(model, batch=3)               random inputs for it
    python models/handmade.py           build, check and run all of them

Axes named in an input's shape ("batch", "sequence", …) are free; integer inputs are ids below `VOCABULARY`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs

VOCABULARY = 24
FREE_SIZES = {"batch": 2, "sequence": 5, "memory": 7, "height": 8, "width": 8}
NUMPY_TYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.BOOL: np.bool_,
}

Operand: TypeAlias = gs.Tensor | np.ndarray
Builder = Callable[[], onnx.ModelProto]
HANDMADE: dict[str, Builder] = {}


def handmade(build: Callable[[Net], None]) -> Callable[[Net], None]:
    """Register a function that fills an empty net; its name is the model's."""
    name = build.__name__

    def builder() -> onnx.ModelProto:
        net = Net(name)
        build(net)
        return net.model()

    builder.__doc__ = build.__doc__
    HANDMADE[name] = builder
    return build


def feeds(model: onnx.ModelProto, seed: int = 0, **sizes: int) -> dict[str, np.ndarray]:
    """Return random inputs for a model; `sizes` replaces FREE_SIZES by axis name."""
    draw, sizes = np.random.default_rng(seed), FREE_SIZES | sizes
    values: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        kind = NUMPY_TYPES[value.type.tensor_type.elem_type]
        shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in value.type.tensor_type.shape.dim]
        if kind is np.float32:
            values[value.name] = draw.normal(size=shape).astype(kind)
        else:
            values[value.name] = draw.integers(0, 2 if kind is np.bool_ else VOCABULARY, shape).astype(kind)
    return values


class Net:
    """A graph being written: inputs, weights and operators are added from top to bottom."""

    def __init__(self, name: str, opset: int = 18) -> None:
        self.graph = gs.Graph(name=name, opset=opset)
        self.draw = np.random.default_rng(zlib.crc32(name.encode()))
        self.constants = self.operators = 0

    def input(self, name: str, *shape: int | str, dtype: type = np.float32) -> gs.Variable:
        """Add a graph input."""
        variable = gs.Variable(name, dtype=np.dtype(dtype), shape=list(shape))
        self.graph.inputs.append(variable)
        return variable

    def constant(self, values: np.ndarray, name: str = "const") -> gs.Constant:
        """Return a named initializer; using the object twice shares it."""
        self.constants += 1
        return gs.Constant(f"{name}_{self.constants}", np.array(values, order="C"))

    def weight(self, *shape: int, fan: int | None = None) -> gs.Constant:
        """Return a random weight; `fan` counts the products in a sum, by default all axes but the first."""
        fan = fan or int(np.prod(shape[1:]))
        return self.constant(self.draw.normal(0, (1.5 / fan) ** 0.5, shape).astype(np.float32), "W")

    def gain(self, *shape: int) -> gs.Constant:
        """Return random factors in [0.5, 1.5]."""
        return self.constant(self.draw.uniform(0.5, 1.5, shape).astype(np.float32), "gain")

    def bias(self, *shape: int) -> gs.Constant:
        """Return random summands."""
        return self.constant(self.draw.normal(0, 0.3, shape).astype(np.float32), "B")

    def ops(self, op: str, *inputs: Operand | None, outputs: int = 1, **attrs: Any) -> list[gs.Variable]:
        """Add an operator and return its outputs; None leaves an optional input out."""
        self.operators += 1
        name = f"{op}_{self.operators}"
        results = [gs.Variable(f"{name}_{index}", dtype=np.dtype(np.float32)) for index in range(outputs)]
        operands = [self._operand(value) for value in inputs]
        self.graph.nodes.append(gs.Node(op, name, dict(attrs), operands, results))
        return results

    def _operand(self, value: Operand | None) -> gs.Tensor:
        if value is None:
            return gs.Variable.empty()
        return value if isinstance(value, gs.Tensor) else self.constant(np.asarray(value))

    def op(self, op: str, *inputs: Operand | None, **attrs: Any) -> gs.Variable:
        """Add an operator with one output and return it."""
        return self.ops(op, *inputs, **attrs)[0]

    def conv(self, x: gs.Tensor, inside: int, out: int, kernel: int = 3, **attrs: Any) -> gs.Variable:
        """Add a 2-D convolution with bias that keeps the size (with stride 1)."""
        group = int(attrs.get("group", 1))
        attrs = {"pads": [kernel // 2] * 4, "kernel_shape": [kernel, kernel]} | attrs
        return self.op("Conv", x, self.weight(out, inside // group, kernel, kernel), self.bias(out), **attrs)

    def norm(self, x: gs.Tensor, width: int) -> gs.Variable:
        """Add a batch norm over axis 1."""
        mean, variance = self.bias(width), self.gain(width)
        return self.op("BatchNormalization", x, self.gain(width), self.bias(width), mean, variance)

    def linear(self, x: gs.Tensor, inside: int, out: int) -> gs.Variable:
        """Add MatMul and bias over the last axis."""
        return self.op("Add", self.op("MatMul", x, self.weight(inside, out, fan=inside)), self.bias(out))

    def relu(self, x: gs.Tensor) -> gs.Variable:
        """Add a ReLU."""
        return self.op("Relu", x)

    def reshape(self, x: gs.Tensor, *shape: int) -> gs.Variable:
        """Add a Reshape to a constant shape (0 copies, -1 is what is left)."""
        return self.op("Reshape", x, np.array(shape))

    def transpose(self, x: gs.Tensor, *perm: int) -> gs.Variable:
        """Add a Transpose."""
        return self.op("Transpose", x, perm=list(perm))

    def slice(self, x: gs.Tensor, start: int, stop: int, axis: int, step: int = 1) -> gs.Variable:
        """Add a Slice of one axis."""
        return self.op("Slice", x, np.array([start]), np.array([stop]), np.array([axis]), np.array([step]))

    def shape(self, op: str, *inputs: Operand, **attrs: Any) -> gs.Variable:
        """Add an operator that yields int64."""
        result = self.op(op, *inputs, **attrs)
        result.dtype = np.dtype(np.int64)
        return result

    def head(self, x: gs.Tensor, inside: int, out: int = 5) -> None:
        """End a picture network: pool, flatten, Gemm, output "logits"."""
        flat = self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)
        self.output(self.op("Gemm", flat, self.weight(out, inside), self.bias(out), transB=1), "logits")

    def output(self, x: gs.Variable, name: str = "y") -> None:
        """Make a value a graph output."""
        x.name = name
        self.graph.outputs.append(x)

    def model(self) -> onnx.ModelProto:
        """Return the finished model, with inferred shapes."""
        model = gs.export_onnx(self.graph, do_type_check=False)
        model.ir_version = 9
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        return model


def picture(net: Net, width: int = 12) -> gs.Variable:
    """Add an input image (batch, 3, 8, 8) and a first convolution to `width` channels, with ReLU."""
    return net.relu(net.conv(net.input("x", "batch", 3, 8, 8), 3, width))


def tokens(net: Net, width: int = 24) -> gs.Variable:
    """Add an input (batch, sequence, 6) and a first linear layer to `width` channels."""
    return net.linear(net.input("x", "batch", "sequence", 6), 6, width)


def heads(net: Net, x: gs.Tensor, count: int, width: int) -> gs.Variable:
    """Split the last axis of (b, t, count * width) and return (b, count, t, width)."""
    return net.transpose(net.reshape(x, 0, 0, count, width), 0, 2, 1, 3)


def merge(net: Net, x: gs.Tensor, width: int) -> gs.Variable:
    """Undo `heads`: (b, count, t, width) to (b, t, count * width = `width`)."""
    return net.reshape(net.transpose(x, 0, 2, 1, 3), 0, 0, width)


def attend(net: Net, query: gs.Tensor, key: gs.Tensor, value: gs.Tensor, scale: Operand) -> gs.Variable:
    """Return softmax(query keyᵀ scale) value over (b, h, t, d)."""
    scores = net.op("Mul", net.op("MatMul", query, net.transpose(key, 0, 1, 3, 2)), scale)
    return net.op("MatMul", net.op("Softmax", scores, axis=-1), value)


def scale_of(width: int) -> np.ndarray:
    """Return 1 / sqrt(width) as a float32 scalar."""
    return np.array(width**-0.5, np.float32)


# ---------------------------------------------------------------------------------- adding and joining


@handmade
def residual_add(net: Net) -> None:
    """Two residual blocks: everything added together has one width; the middle widths are free."""
    x = picture(net)
    for middle in (16, 20):
        y = net.relu(net.norm(net.conv(x, 12, middle), middle))
        x = net.relu(net.op("Add", x, net.norm(net.conv(y, middle, 12), 12)))
    net.head(x, 12)


@handmade
def concat_skip(net: Net) -> None:
    """A concatenation of two widths read by one convolution: each part keeps its own channels."""
    x = picture(net)
    y = net.relu(net.conv(x, 12, 10))
    net.head(net.relu(net.norm(net.conv(net.op("Concat", x, y, axis=1), 22, 14), 14)), 14)


@handmade
def concat_residual(net: Net) -> None:
    """A concatenation (8 + 4) added to one convolution of 12: its channels split the same way."""
    x = picture(net)
    parts = net.op("Concat", net.conv(x, 12, 8), net.conv(x, 12, 4), axis=1)
    net.head(net.relu(net.op("Add", parts, net.conv(x, 12, 12, 1))), 12)


@handmade
def split_branches(net: Net) -> None:
    """An equal Split multiplied together (the halves are tied) after an unequal one (they are not)."""
    x = net.conv(picture(net), 12, 20)
    left, right = net.ops("Split", x, np.array([12, 8]), outputs=2, axis=1)
    one, two = net.ops("Split", left, outputs=2, axis=1, num_outputs=2)
    gated = net.op("Mul", one, net.op("Sigmoid", two))
    net.head(net.relu(net.op("Concat", gated, right, axis=1)), 14)


@handmade
def slice_channels(net: Net) -> None:
    """Two Slices that overlap in channels 4 to 8: the runs 0-4, 4-8 and 8-12 are pruned apart."""
    x = picture(net)
    low, high = net.slice(x, 0, 8, 1), net.slice(x, 4, 2**31, 1)
    net.head(net.relu(net.op("Add", net.conv(low, 8, 10), net.conv(high, 8, 10))), 10)


@handmade
def channel_shuffle(net: Net) -> None:
    """A ShuffleNet unit: half passes, half is convolved, then both are interleaved, twice."""
    x = picture(net, 16)
    for _ in range(2):
        keep, work = net.ops("Split", x, np.array([8, 8]), outputs=2, axis=1)
        work = net.relu(net.conv(net.conv(work, 8, 8, group=8), 8, 8, 1))
        grid = net.reshape(net.op("Concat", keep, work, axis=1), 0, 2, 8, 8, 8)
        x = net.reshape(net.transpose(grid, 0, 2, 1, 3, 4), 0, 16, 8, 8)
    net.head(x, 16)


@handmade
def pad_channels(net: Net) -> None:
    """ResNet's shortcut A: a strided skip is padded with zero channels on both sides and added."""
    x = picture(net, 8)
    y = net.conv(net.relu(net.conv(x, 8, 16, strides=[2, 2])), 16, 16)
    small = net.slice(net.slice(x, 0, 2**31, 2, 2), 0, 2**31, 3, 2)
    skip = net.op("Pad", small, np.array([0, 4, 0, 0, 0, 4, 0, 0]), np.array(0, np.float32))
    net.head(net.relu(net.op("Add", skip, y)), 16)


@handmade
def gather_subset(net: Net) -> None:
    """A constant Gather takes five of twelve channels; the others are read by nobody."""
    x = net.op("Gather", picture(net), np.array([1, 2, 5, 8, 11]), axis=1)
    net.head(net.relu(net.conv(x, 5, 9)), 9)


@handmade
def gather_permutation(net: Net) -> None:
    """A constant Gather permutes the channels: any of them can go, at its new place."""
    x = net.op("Gather", picture(net, 8), np.array([3, 1, 7, 5, 0, 2, 6, 4]), axis=1)
    net.head(net.relu(net.conv(x, 8, 9)), 9)


@handmade
def gather_permutation_residual(net: Net) -> None:
    """A permuted copy is added to the original: each cycle of the permutation is tied into one."""
    x = picture(net, 8)
    y = net.op("Gather", x, np.array([1, 0, 3, 2, 6, 7, 4, 5]), axis=1)
    net.head(net.relu(net.conv(net.op("Add", x, y), 8, 9)), 9)


@handmade
def reversed_slice(net: Net) -> None:
    """A Slice with step -1 reverses the channels."""
    x = net.slice(picture(net), -1, -(2**31), 1, -1)
    net.head(net.relu(net.conv(x, 12, 9)), 9)


@handmade
def reversed_slice_residual(net: Net) -> None:
    """A reversed copy is added to the original: channel i is tied to channel 11 - i."""
    x = picture(net)
    y = net.op("Add", x, net.slice(x, -1, -(2**31), 1, -1))
    net.head(net.relu(net.conv(y, 12, 9)), 9)


@handmade
def strided_slice(net: Net) -> None:
    """Even channels are multiplied with odd ones: neighbours are tied."""
    x = picture(net)
    y = net.op("Mul", net.slice(x, 0, 2**31, 1, 2), net.slice(x, 1, 2**31, 1, 2))
    net.head(net.relu(net.conv(y, 6, 9)), 9)


@handmade
def tile_channels(net: Net) -> None:
    """Tile repeats six channels twice: a channel goes from both copies."""
    x = net.op("Tile", picture(net, 6), np.array([1, 2, 1, 1]))
    net.head(net.relu(net.op("Add", net.conv(x, 12, 12, group=2), x)), 12)


# ---------------------------------------------------------------------------------------- convolutions


@handmade
def grouped_conv(net: Net) -> None:
    """Three groups: each may keep different channels as long as all keep as many, on both sides."""
    x = net.relu(net.norm(net.conv(picture(net), 12, 18, group=3), 18))
    net.head(net.relu(net.conv(x, 18, 9, 1)), 9)


@handmade
def depthwise(net: Net) -> None:
    """One filter for each channel, and a multiplier of two behind it."""
    x = net.relu(net.conv(picture(net), 12, 12, group=12))
    net.head(net.relu(net.conv(x, 12, 24, group=12)), 24)


@handmade
def conv_transpose_grouped(net: Net) -> None:
    """A transposed convolution in two groups: its weight is (in, out / group, …)."""
    x = picture(net)
    weight = net.weight(12, 5, 2, 2, fan=6)
    y = net.op("ConvTranspose", x, weight, net.bias(10), group=2, strides=[2, 2], kernel_shape=[2, 2])
    net.head(net.relu(net.conv(y, 10, 8)), 8)


@handmade
def same_conv_twice(net: Net) -> None:
    """One convolution applied twice in a row: its input and output widths are the same channels."""
    x = picture(net)
    weight, bias = net.weight(12, 12, 3, 3), net.bias(12)
    for _ in range(2):
        x = net.relu(net.op("Conv", x, weight, bias, pads=[1, 1, 1, 1], kernel_shape=[3, 3]))
    net.head(x, 12)


@handmade
def one_output_conv(net: Net) -> None:
    """A convolution with a single output channel, which must stay, beside one with many."""
    x = picture(net)
    net.output(net.op("Sigmoid", net.conv(net.relu(net.conv(x, 12, 9)), 9, 1, 1)), "mask")
    net.head(net.relu(net.conv(x, 12, 7)), 7)


@handmade
def broadcast_mul(net: Net) -> None:
    """Spatial attention: a map (batch, 1, 8, 8) multiplies every channel and prunes none."""
    x = picture(net)
    gate = net.op("Sigmoid", net.conv(net.relu(net.conv(x, 12, 6)), 6, 1))
    net.head(net.relu(net.conv(net.op("Mul", x, gate), 12, 8)), 8)


@handmade
def squeeze_excite(net: Net) -> None:
    """A gate for each channel, computed from the means of all: gate and channels are one group."""
    x = picture(net)
    mean = net.op("ReduceMean", x, np.array([2, 3]), keepdims=1)
    gate = net.op("HardSigmoid", net.conv(net.relu(net.conv(mean, 12, 6, 1)), 6, 12, 1))
    net.head(net.relu(net.conv(net.op("Mul", x, gate), 12, 8)), 8)


@handmade
def flatten_gemm(net: Net) -> None:
    """Flatten before Gemm: a channel is sixteen columns of the weight."""
    x = net.op("MaxPool", picture(net), kernel_shape=[2, 2], strides=[2, 2])
    y = net.relu(net.op("Gemm", net.op("Flatten", x, axis=1), net.weight(192, 20, fan=192), net.bias(20)))
    net.output(net.op("Gemm", y, net.weight(5, 20), net.bias(5), transB=1))


@handmade
def pixel_shuffle(net: Net) -> None:
    """DepthToSpace in CRD order: four neighbouring channels go together."""
    x = net.op("DepthToSpace", net.conv(picture(net), 12, 24), blocksize=2, mode="CRD")
    net.head(net.relu(net.conv(x, 6, 8)), 8)


@handmade
def depth_to_space_dcr(net: Net) -> None:
    """DepthToSpace in DCR order: channels i, i + 6, i + 12 and i + 18 go together; SpaceToDepth undoes it."""
    x = net.op("DepthToSpace", net.conv(picture(net), 12, 24), blocksize=2, mode="DCR")
    net.head(net.relu(net.conv(net.op("SpaceToDepth", net.relu(x), blocksize=2), 24, 8)), 8)


@handmade
def focus_slices(net: Net) -> None:
    """YOLO's Focus: four strided spatial slices of one tensor are joined; a channel appears four times."""
    x = picture(net, 6)
    rows = [net.slice(x, start, 2**31, 2, 2) for start in (0, 1)]
    parts = [net.slice(part, start, 2**31, 3, 2) for start in (0, 1) for part in rows]
    net.head(net.relu(net.conv(net.op("Concat", *parts, axis=1), 24, 10)), 10)


@handmade
def resize_sizes(net: Net) -> None:
    """Resize with `sizes`, whose channel entry must follow the channels."""
    x = net.op("Resize", picture(net), None, None, np.array([2, 12, 16, 16]), mode="nearest")
    net.graph.inputs[0].shape[0] = 2  # `sizes` names the batch too
    net.head(net.relu(net.conv(x, 12, 8)), 8)


@handmade
def resize_sizes_dynamic(net: Net) -> None:
    """Resize with `sizes` joined at run time from the batch and channels of its own input."""
    x = picture(net)
    front = net.shape("Slice", net.shape("Shape", x), np.array([0]), np.array([2]))
    sizes = net.shape("Concat", front, np.array([16, 16]), axis=0)
    net.head(net.relu(net.conv(net.op("Resize", x, None, None, sizes, mode="nearest"), 12, 8)), 8)


@handmade
def nhwc(net: Net) -> None:
    """The TensorFlow style: Transposes around every convolution, biases and a residual with channels last."""
    x = net.linear(net.input("x", "batch", 8, 8, 3), 3, 12)
    for _ in range(2):
        y = net.op("Conv", net.transpose(x, 0, 3, 1, 2), net.weight(12, 12, 3, 3), pads=[1, 1, 1, 1])
        x = net.op("Add", x, net.relu(net.op("Add", net.transpose(y, 0, 2, 3, 1), net.bias(12))))
    net.output(net.linear(net.op("ReduceMean", x, np.array([1, 2]), keepdims=0), 12, 5))


@handmade
def weight_standardisation(net: Net) -> None:
    """The weight is normalised in the graph, by a mean over its input channels: these are approximate."""
    weight, axes = net.weight(10, 12, 3, 3), np.array([1, 2, 3])
    centred = net.op("Sub", weight, net.op("ReduceMean", weight, axes))
    variance = net.op("ReduceMean", net.op("Mul", centred, centred), axes)
    scaled = net.op("Div", centred, net.op("Sqrt", net.op("Add", variance, np.array(1e-5, np.float32))))
    y = net.op(
        "Conv", picture(net), net.op("Mul", scaled, np.array(0.2, np.float32)), net.bias(10), pads=[1] * 4
    )
    net.head(net.relu(y), 10)


@handmade
def shared_zero_bias(net: Net) -> None:
    """Three convolutions share one all-zero bias, as exporters merge equal values: it must tie nothing."""
    zero = net.constant(np.zeros(12, np.float32), "zero")
    x = net.input("x", "batch", 3, 8, 8)
    for inside in (3, 12, 12):
        weight = net.weight(12, inside, 3, 3)
        x = net.relu(net.op("Conv", x, weight, zero, pads=[1, 1, 1, 1], kernel_shape=[3, 3]))
    net.head(net.relu(net.conv(x, 12, 7)), 7)


@handmade
def quantized_conv(net: Net) -> None:
    """QDQ around a convolution: int8 weights with one scale and zero point for each output channel."""
    x = picture(net)
    scale, zero = np.array(0.05, np.float32), np.array(0, np.int8)
    narrow = net.op("QuantizeLinear", x, scale, zero)
    narrow.dtype = np.dtype(np.int8)
    raw = net.constant(net.draw.integers(-127, 128, (10, 12, 3, 3), np.int8), "W8")
    scales = net.constant(net.draw.uniform(1e-3, 3e-3, 10).astype(np.float32), "scales")
    weight = net.op("DequantizeLinear", raw, scales, net.constant(np.zeros(10, np.int8), "zeros"), axis=0)
    y = net.op(
        "Conv", net.op("DequantizeLinear", narrow, scale, zero), weight, net.bias(10), pads=[1, 1, 1, 1]
    )
    net.head(net.relu(y), 10)


# ----------------------------------------------------------------------------------------------- norms


@handmade
def instance_norm(net: Net) -> None:
    """InstanceNormalization: each channel is normalised alone, so removing one is exact."""
    x = net.op("InstanceNormalization", net.conv(picture(net), 12, 10), net.gain(10), net.bias(10))
    net.head(net.relu(net.conv(net.relu(x), 10, 8)), 8)


@handmade
def group_norm(net: Net) -> None:
    """GroupNorm as exporters write it: Reshape to 3 groups, InstanceNormalization, Reshape, gain, bias."""
    x = net.conv(picture(net), 12, 18)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    flat = net.op("InstanceNormalization", net.reshape(x, 0, 3, -1), ones, zeros)
    back = net.op("Reshape", flat, net.shape("Shape", x))
    y = net.op("Add", net.op("Mul", back, net.gain(18, 1, 1)), net.bias(18, 1, 1))
    net.head(net.relu(net.conv(net.relu(y), 18, 8)), 8)


@handmade
def layer_norm_decomposed(net: Net) -> None:
    """LayerNorm as ReduceMean, Sub, Pow, ReduceMean, Sqrt, Div: the normalised width is approximate."""
    x = tokens(net)
    centred = net.op("Sub", x, net.op("ReduceMean", x, np.array([-1])))
    variance = net.op("ReduceMean", net.op("Pow", centred, np.array(2, np.float32)), np.array([-1]))
    y = net.op("Div", centred, net.op("Sqrt", net.op("Add", variance, np.array(1e-5, np.float32))))
    y = net.op("Add", net.op("Mul", y, net.gain(24)), net.bias(24))
    net.output(net.linear(net.op("Add", x, net.linear(net.relu(net.linear(y, 24, 40)), 40, 24)), 24, 5))


@handmade
def layer_norm(net: Net) -> None:
    """A perceptron behind LayerNormalization: its hidden width is exact, the residual one approximate."""
    x = tokens(net)
    y = net.op("LayerNormalization", x, net.gain(24), net.bias(24), axis=-1)
    net.output(net.linear(net.op("Add", x, net.linear(net.relu(net.linear(y, 24, 40)), 40, 24)), 24, 5))


# ------------------------------------------------------------------------------------------- attention


@handmade
def gqa_attention(net: Net) -> None:
    """Grouped queries: three key-value heads are expanded to six; a query pair and its head go together."""
    x = tokens(net)
    query = heads(net, net.linear(x, 24, 48), 6, 8)
    wide = []
    for _ in range(2):
        part = net.op("Unsqueeze", heads(net, net.linear(x, 24, 24), 3, 8), np.array([2]))
        wide.append(net.reshape(net.op("Expand", part, np.array([1, 1, 2, 1, 1])), 0, 6, -1, 8))
    mixed = merge(net, attend(net, query, wide[0], wide[1], scale_of(8)), 48)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 48, 24)), 24, 5))


@handmade
def fused_qkv(net: Net) -> None:
    """One projection of width 3 x 4 x 6 for query, key and value."""
    x = tokens(net)
    parts = net.transpose(net.reshape(net.linear(x, 24, 72), 0, 0, 3, 4, 6), 2, 0, 3, 1, 4)
    query, key, value = (net.op("Gather", parts, np.array(index), axis=0) for index in range(3))
    mixed = merge(net, attend(net, query, key, value, scale_of(6)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def fused_qkv_split(net: Net) -> None:
    """One projection, cut by Split before the heads are formed."""
    x = tokens(net)
    parts = net.ops("Split", net.linear(x, 24, 72), outputs=3, axis=-1, num_outputs=3)
    query, key, value = (heads(net, part, 4, 6) for part in parts)
    mixed = merge(net, attend(net, query, key, value, scale_of(6)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def rotary(net: Net) -> None:
    """Rotary positions: each head's two halves of four are rotated together, so channels go in pairs."""
    x = net.linear(net.input("x", "batch", 6, 6), 6, 24)
    angle = np.arange(6)[:, None] * np.tile(10.0 ** -np.arange(4), 2)
    cosine, sine = (net.constant(f(angle).astype(np.float32), "turn") for f in (np.cos, np.sin))

    def rotated(part: gs.Tensor) -> gs.Variable:
        first, second = net.slice(part, 0, 4, 3), net.slice(part, 4, 2**31, 3)
        turned = net.op("Concat", net.op("Neg", second), first, axis=-1)
        return net.op("Add", net.op("Mul", part, cosine), net.op("Mul", turned, sine))

    query, key, value = (heads(net, net.linear(x, 24, 24), 3, 8) for _ in range(3))
    mixed = merge(net, attend(net, rotated(query), rotated(key), value, scale_of(8)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def rotary_interleaved(net: Net) -> None:
    """The other rotary style: neighbours turn together, taken apart by strided slices and stacked again."""
    x = net.linear(net.input("x", "batch", 6, 6), 6, 24)
    angle = np.arange(6)[:, None] * 10.0 ** -np.arange(4)
    cosine, sine = (net.constant(f(angle).astype(np.float32), "turn") for f in (np.cos, np.sin))

    def rotated(part: gs.Tensor) -> gs.Variable:
        even, odd = net.slice(part, 0, 2**31, 3, 2), net.slice(part, 1, 2**31, 3, 2)
        one = net.op("Sub", net.op("Mul", even, cosine), net.op("Mul", odd, sine))
        two = net.op("Add", net.op("Mul", even, sine), net.op("Mul", odd, cosine))
        pair = net.op("Concat", *(net.op("Unsqueeze", p, np.array([4])) for p in (one, two)), axis=4)
        return net.reshape(pair, 0, 0, 0, 8)

    query, key, value = (heads(net, net.linear(x, 24, 24), 3, 8) for _ in range(3))
    mixed = merge(net, attend(net, rotated(query), rotated(key), value, scale_of(8)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def rotary_reshaped(net: Net) -> None:
    """Interleaved again: the pairs are an axis of two, made by Reshape; two groups of queries share a key."""
    x = net.linear(net.input("x", "batch", 6, 6), 6, 24)
    angle = np.arange(6)[:, None] * 10.0 ** -np.arange(3)
    cosine, sine = (net.constant(f(angle).astype(np.float32), "turn") for f in (np.cos, np.sin))

    def rotated(part: gs.Tensor, count: int) -> gs.Variable:
        pairs = net.reshape(part, 0, count, 6, 3, 2)
        even, odd = (net.op("Gather", pairs, np.array(k), axis=4) for k in (0, 1))
        one = net.op("Sub", net.op("Mul", even, cosine), net.op("Mul", odd, sine))
        two = net.op("Add", net.op("Mul", even, sine), net.op("Mul", odd, cosine))
        pair = net.op("Concat", *(net.op("Unsqueeze", p, np.array([4])) for p in (one, two)), axis=4)
        return net.reshape(pair, 0, 0, 0, 6)

    def repeated(part: gs.Tensor) -> gs.Variable:
        five = net.op("Expand", net.op("Unsqueeze", part, np.array([2])), np.array([1, 1, 2, 1, 1]))
        return net.reshape(five, 0, 4, 6, 6)

    query = rotated(heads(net, net.linear(x, 24, 24), 4, 6), 4)
    key = repeated(rotated(heads(net, net.linear(x, 24, 12), 2, 6), 2))
    value = repeated(heads(net, net.linear(x, 24, 12), 2, 6))
    mixed = merge(net, attend(net, query, key, value, scale_of(6)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def einsum_attention(net: Net) -> None:
    """Attention by Einsum over (batch, time, head, channel), without a Transpose."""
    x = tokens(net)
    query, key, value = (net.reshape(net.linear(x, 24, 24), 0, 0, 4, 6) for _ in range(3))
    scores = net.op("Mul", net.op("Einsum", query, key, equation="bqhd,bkhd->bhqk"), scale_of(6))
    mixed = net.op("Einsum", net.op("Softmax", scores, axis=-1), value, equation="bhqk,bkhd->bqhd")
    out = net.op("Einsum", mixed, net.weight(4, 6, 24, fan=24), equation="bqhd,hde->bqe")
    net.output(net.linear(net.op("Add", x, out), 24, 5))


@handmade
def runtime_attention_scale(net: Net) -> None:
    """The scale 1 / sqrt(d) is computed from Shape at run time; a pruned model must keep the old value."""
    x = tokens(net)
    query, key, value = (heads(net, net.linear(x, 24, 24), 4, 6) for _ in range(3))
    width = net.shape("Gather", net.shape("Shape", query), np.array(-1), axis=0)
    root = net.op("Sqrt", net.op("Cast", width, to=onnx.TensorProto.FLOAT))
    mixed = merge(net, attend(net, query, key, value, net.op("Reciprocal", root)), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def linear_attention(net: Net) -> None:
    """Linear attention: its normaliser sums exp over the head's channels, which therefore are approximate."""
    x = tokens(net)
    query, key, value = (heads(net, net.linear(x, 24, 24), 4, 6) for _ in range(3))
    query, key = (net.op("Exp", net.op("Mul", part, np.array(0.3, np.float32))) for part in (query, key))
    memory = net.op("MatMul", net.transpose(key, 0, 1, 3, 2), value)
    total = net.op("ReduceSum", key, np.array([2]), keepdims=1)
    share = net.op("ReduceSum", net.op("Mul", query, total), np.array([3]), keepdims=1)
    mixed = merge(net, net.op("Div", net.op("MatMul", query, memory), share), 24)
    net.output(net.linear(net.op("Add", x, net.linear(mixed, 24, 24)), 24, 5))


@handmade
def window_partition(net: Net) -> None:
    """Swin: a cyclic shift, windows of 4 x 4 by Reshape and Transpose, a layer in each, and back."""
    x = net.linear(net.input("x", "batch", 8, 8, 3), 3, 12)
    shifted = net.op("Concat", net.slice(x, 2, 2**31, 1), net.slice(x, 0, 2, 1), axis=1)
    grid = net.transpose(net.reshape(shifted, -1, 2, 4, 2, 4, 12), 0, 1, 3, 2, 4, 5)
    inner = net.linear(net.relu(net.linear(net.reshape(grid, -1, 16, 12), 12, 20)), 20, 12)
    back = net.transpose(net.reshape(inner, -1, 2, 2, 4, 4, 12), 0, 1, 3, 2, 4, 5)
    y = net.op("Add", x, net.reshape(back, -1, 8, 8, 12))
    net.output(net.linear(net.op("ReduceMean", y, np.array([1, 2]), keepdims=0), 12, 5))


# ------------------------------------------------------------------ text, tied weights, gates, experts


@handmade
def tied_embedding(net: Net) -> None:
    """The embedding is, transposed in the graph, the output layer too: one matrix, one width."""
    ids = net.input("ids", "batch", "sequence", dtype=np.int64)
    table = net.weight(VOCABULARY, 16)
    x = net.op("Gather", table, ids, axis=0)
    x = net.op("Add", x, net.linear(net.relu(net.linear(x, 16, 28)), 28, 16))
    net.output(net.op("MatMul", x, net.transpose(table, 1, 0)), "logits")


@handmade
def tied_embedding_gemm(net: Net) -> None:
    """The same tie through Gemm with transB, over flattened time."""
    ids = net.input("ids", "batch", "sequence", dtype=np.int64)
    table = net.weight(VOCABULARY, 16)
    x = net.relu(net.linear(net.op("Gather", table, ids, axis=0), 16, 16))
    net.output(net.op("Gemm", net.reshape(x, -1, 16), table, net.bias(VOCABULARY), transB=1), "logits")


@handmade
def weight_two_layouts(net: Net) -> None:
    """A tied auto-encoder: W maps 16 to 10 and Transpose(W) maps back, so 16 before and after are one."""
    x = net.relu(net.linear(net.input("x", "batch", 6), 6, 16))
    weight = net.weight(16, 10, fan=16)
    code = net.relu(net.op("Add", net.op("MatMul", x, weight), net.bias(10)))
    back = net.relu(net.op("Add", net.op("MatMul", code, net.transpose(weight, 1, 0)), net.bias(16)))
    net.output(net.linear(back, 16, 5))


@handmade
def gated_mlp(net: Net) -> None:
    """SwiGLU from one projection: Split makes gate and value, whose channels go in pairs."""
    x = tokens(net)
    gate, value = net.ops("Split", net.linear(x, 24, 60), outputs=2, axis=-1, num_outputs=2)
    hidden = net.op("Mul", net.op("Mul", gate, net.op("Sigmoid", gate)), value)
    net.output(net.linear(net.op("Add", x, net.linear(hidden, 30, 24)), 24, 5))


@handmade
def mixture_of_experts(net: Net) -> None:
    """Four experts as one batched MatMul, mixed by a softmax gate: hidden channels are the same in each."""
    x = tokens(net)
    gate = net.op(
        "Unsqueeze", net.transpose(net.op("Softmax", net.linear(x, 24, 4), axis=-1), 0, 2, 1), np.array([3])
    )
    each = net.op("Unsqueeze", x, np.array([1]))
    hidden = net.relu(net.op("MatMul", each, net.weight(4, 24, 16, fan=24)))
    mixed = net.op("Mul", net.op("MatMul", hidden, net.weight(4, 16, 24, fan=16)), gate)
    y = net.op("ReduceSum", mixed, np.array([1]), keepdims=0)
    net.output(net.linear(net.op("Add", x, y), 24, 5))


def route(net: Net, x: gs.Tensor, width: int, experts: int, chosen: int) -> tuple[gs.Variable, gs.Variable]:
    """Return the shares and the numbers of the chosen experts, (tokens, chosen), for x (tokens, width)."""
    share = net.op("Softmax", net.op("MatMul", x, net.weight(width, experts, fan=width)), axis=-1)
    best, which = net.ops("TopK", share, np.array([chosen]), outputs=2, axis=-1)
    which.dtype = np.dtype(np.int64)
    return net.op("Div", best, net.op("ReduceSum", best, np.array([-1]), keepdims=1)), which


def experts_of(net: Net, x: gs.Tensor, experts: int, width: int, inner: int) -> gs.Variable:
    """Return what every expert makes of every token: (tokens, experts, width) for x (tokens, width)."""
    first, second = net.weight(experts, width, inner, fan=width), net.weight(experts, inner, width, fan=inner)
    hidden = net.relu(net.op("Einsum", x, first, equation="td,edf->tef"))
    return net.op("Einsum", hidden, second, equation="tef,efd->ted")


@handmade
def experts_picked(net: Net) -> None:
    """Two of four experts for each token, whose weights are picked by the numbers that TopK gives."""
    x = tokens(net)
    flat = net.reshape(x, -1, 24)
    best, which = route(net, flat, 24, 4, 2)
    numbers = net.shape("Reshape", which, np.array([-1]))
    each = net.op("Expand", net.op("Unsqueeze", flat, np.array([1])), np.array([1, 2, 1]))
    hidden = net.reshape(each, -1, 24, 1)
    for rows, columns in ((16, 24), (24, 16)):
        matrices = net.op("Gather", net.weight(4, rows, columns, fan=columns), numbers, axis=0)
        hidden = net.op("MatMul", matrices, net.relu(hidden))
    mixed = net.op("Mul", net.reshape(hidden, -1, 2, 24), net.op("Unsqueeze", best, np.array([2])))
    y = net.reshape(net.op("ReduceSum", mixed, np.array([1]), keepdims=0), -1, 24)
    net.output(net.linear(net.op("Add", flat, y), 24, 5))


@handmade
def experts_scattered(net: Net) -> None:
    """All of five experts are computed; the shares of the chosen two are scattered among zeros."""
    flat = net.reshape(tokens(net), -1, 24)
    best, which = route(net, flat, 24, 5, 2)
    count = net.shape("Shape", flat, start=0, end=1)
    blank = net.op("Expand", np.zeros((1, 1), np.float32), net.shape("Concat", count, np.array([5]), axis=0))
    gate = net.op("ScatterElements", blank, which, best, axis=1)
    y = net.op("Einsum", experts_of(net, flat, 5, 24, 16), gate, equation="ted,te->td")
    net.output(net.linear(net.op("Add", flat, y), 24, 5))


@handmade
def experts_one_hot(net: Net) -> None:
    """The numbers of the chosen experts become rows of ones and zeros, by OneHot."""
    flat = net.reshape(tokens(net), -1, 24)
    best, which = route(net, flat, 24, 5, 2)
    ones = net.op("OneHot", which, np.array(5), np.array([0, 1], np.float32), axis=-1)
    y = net.op("Einsum", best, ones, experts_of(net, flat, 5, 24, 16), equation="tk,tke,ted->td")
    net.output(net.linear(net.op("Add", flat, y), 24, 5))


@handmade
def experts_compared(net: Net) -> None:
    """The same with Equal: the numbers are held against 0, 1, 2, ..."""
    flat = net.reshape(tokens(net), -1, 24)
    best, which = route(net, flat, 24, 5, 2)
    equal = net.op("Equal", net.shape("Unsqueeze", which, np.array([2])), np.arange(5).reshape(1, 1, 5))
    equal.dtype = np.dtype(np.bool_)
    gate = net.op("MatMul", net.op("Unsqueeze", best, np.array([1])), net.op("Cast", equal, to=1))
    each = net.transpose(experts_of(net, flat, 5, 24, 16), 1, 0, 2)
    share = net.op("Unsqueeze", net.transpose(net.op("Squeeze", gate, np.array([1])), 1, 0), np.array([2]))
    y = net.op("ReduceSum", net.op("Mul", each, share), np.array([0]), keepdims=0)
    net.output(net.linear(net.op("Add", flat, y), 24, 5))


@handmade
def experts_in_rows(net: Net) -> None:
    """Experts written out one by one: each finds its tokens with NonZero and adds to their rows."""
    flat = net.reshape(tokens(net), -1, 24)
    best, which = route(net, flat, 24, 4, 2)
    ones = net.shape("OneHot", which, np.array(4), np.array([0, 1]), axis=-1)
    mask = net.shape("Transpose", ones, perm=[2, 0, 1])
    total = net.op("Sub", flat, flat)
    for number in range(4):
        found = net.shape("NonZero", net.shape("Gather", mask, np.array(number), axis=0))
        rows = net.shape("Gather", found, np.array(0), axis=0)
        share = net.op("GatherND", best, net.shape("Transpose", found, perm=[1, 0]))
        made = net.linear(net.relu(net.linear(net.op("Gather", flat, rows, axis=0), 24, 16)), 16, 24)
        made = net.op("Mul", made, net.op("Unsqueeze", share, np.array([1])))
        places = net.shape("Unsqueeze", rows, np.array([1]))
        total = net.op("ScatterND", total, places, made, reduction="add")
    net.output(net.linear(net.op("Add", flat, total), 24, 5))


@handmade
def experts_in_turn(net: Net) -> None:
    """Experts written out one by one, each on every token; its share is where its number was chosen."""
    flat = net.reshape(tokens(net), -1, 24)
    best, which = route(net, flat, 24, 4, 2)
    total = net.op("Sub", flat, flat)
    for number in range(4):
        chosen = net.op("Equal", which, np.array(number))
        chosen.dtype = np.dtype(np.bool_)
        share = net.op("ReduceSum", net.op("Where", chosen, best, np.float32(0)), np.array([1]), keepdims=1)
        made = net.linear(net.relu(net.linear(flat, 24, 16)), 16, 24)
        total = net.op("Add", total, net.op("Mul", made, share))
    net.output(net.linear(net.op("Add", flat, total), 24, 5))


@handmade
def experts_by_slices(net: Net) -> None:
    """A soft mixture: a slice of the shares for each expert, and a sum without a beginning."""
    flat = net.reshape(tokens(net), -1, 24)
    share = net.op("Softmax", net.linear(flat, 24, 4), axis=-1)
    parts = []
    for number in range(4):
        made = net.linear(net.relu(net.linear(flat, 24, 16)), 16, 24)
        parts.append(net.op("Mul", made, net.slice(share, number, number + 1, 1)))
    while len(parts) > 1:
        parts = [net.op("Add", *parts[:2]), *parts[2:]]
    net.output(net.linear(net.op("Add", flat, parts[0]), 24, 5))


@handmade
def experts_stacked(net: Net) -> None:
    """Experts written out one by one, whose results are stacked and mixed."""
    flat = net.reshape(tokens(net), -1, 24)
    share = net.op("Softmax", net.linear(flat, 24, 4), axis=-1)
    made = [net.linear(net.relu(net.linear(flat, 24, 16)), 16, 24) for _ in range(4)]
    stack = net.op("Concat", *(net.op("Unsqueeze", m, np.array([1])) for m in made), axis=1)
    mixed = net.op("Mul", stack, net.op("Unsqueeze", share, np.array([2])))
    y = net.op("ReduceSum", mixed, np.array([1]), keepdims=0)
    net.output(net.linear(net.op("Add", flat, y), 24, 5))


@handmade
def one_expert_each(net: Net) -> None:
    """A switch: ArgMax chooses one expert, GatherElements its share."""
    flat = net.reshape(tokens(net), -1, 24)
    share = net.op("Sigmoid", net.linear(flat, 24, 6))
    which = net.shape("ArgMax", share, axis=1, keepdims=1)
    best = net.op("GatherElements", share, which, axis=1)
    matrices = net.op(
        "Gather", net.weight(6, 24, 24, fan=24), net.shape("Squeeze", which, np.array([1])), axis=0
    )
    moved = net.op(
        "Squeeze", net.op("MatMul", net.op("Unsqueeze", flat, np.array([1])), matrices), np.array([1])
    )
    net.output(net.linear(net.op("Add", flat, net.op("Mul", moved, best)), 24, 5))


# ------------------------------------------------------------------------------------------ recurrence


def recurrent(
    net: Net, op: str, x: Operand, sizes: Sequence[int], state: Operand | None = None, **attrs: Any
) -> gs.Variable:
    """Add an RNN operator; `sizes` is (directions, gates, inside, hidden)."""
    ways, gates, inside, hidden = sizes
    weights = (
        net.weight(ways, gates * hidden, inside, fan=inside),
        net.weight(ways, gates * hidden, hidden, fan=hidden),
    )
    both = net.bias(ways, 2 * gates * hidden)
    return net.op(op, x, *weights, both, None, state, hidden_size=hidden, **attrs)


@handmade
def bilstm(net: Net) -> None:
    """Two bidirectional LSTM layers: both directions share hidden_size; four gates and two biases each."""
    x = net.linear(net.input("x", "sequence", "batch", 6), 6, 12)
    for inside in (12, 20):
        y = recurrent(net, "LSTM", x, (2, 4, inside, 10), direction="bidirectional")
        x = net.reshape(net.transpose(y, 0, 2, 1, 3), 0, 0, 20)
    net.output(net.linear(x, 20, 5))


@handmade
def gru_initial_state(net: Net) -> None:
    """A GRU whose initial state comes from a linear layer: that layer's width is the hidden size."""
    x = net.input("x", "sequence", "batch", 6)
    state = net.op("Unsqueeze", net.linear(net.input("context", "batch", 4), 4, 14), np.array([0]))
    y = recurrent(net, "GRU", x, (1, 3, 6, 14), state, linear_before_reset=1)
    net.output(net.linear(net.op("Squeeze", y, np.array([1])), 14, 5))


# ------------------------------------------------------------------------ shapes computed in the graph


@handmade
def shape_arithmetic(net: Net) -> None:
    """Shape, Gather, Mul, Concat, Reshape: (b, c, h, w) to (b, c, h w) and back, with a free batch."""
    x = net.relu(net.conv(net.input("x", "batch", 3, "height", "width"), 3, 12))
    full = net.shape("Shape", x)
    batch, wide, high, across = (net.shape("Gather", full, np.array([index]), axis=0) for index in range(4))
    target = net.shape("Concat", batch, wide, net.shape("Mul", high, across), axis=0)
    flat = net.transpose(net.op("Reshape", x, target), 0, 2, 1)
    y = net.transpose(net.linear(net.relu(net.linear(flat, 12, 20)), 20, 12), 0, 2, 1)
    back = net.op("Reshape", y, net.shape("Concat", batch, wide, high, across, axis=0))
    net.head(net.relu(net.conv(net.op("Add", x, back), 12, 8)), 8)


@handmade
def halved_width(net: Net) -> None:
    """Slice bounds computed as Shape / 2, as tensor.chunk is traced: both halves, of equal use."""
    x = net.conv(picture(net), 12, 16)
    width = net.shape("Gather", net.shape("Shape", x), np.array([1]), axis=0)
    half = net.shape("Div", net.shape("Add", width, np.array([1])), np.array([2]))
    first = net.op("Slice", x, np.array([0]), half, np.array([1]))
    second = net.op("Slice", x, half, net.shape("Mul", half, np.array([2])), np.array([1]))
    net.head(net.relu(net.conv(net.op("Mul", first, net.op("Sigmoid", second)), 8, 9)), 9)


@handmade
def if_branches(net: Net) -> None:
    """An If whose branches read a convolution of the outer graph and give back its channels."""
    x = picture(net)
    flag = net.input("flag", dtype=np.bool_)
    branches = {}
    for name, op in (("then_branch", "Relu"), ("else_branch", "Sigmoid")):
        body = Net(f"{net.graph.name}_{name}")
        result = body.op(op, body.op("Mul", x, body.gain(12, 1, 1)))
        result.name = f"{name}_result"
        body.graph.outputs.append(result)
        branches[name] = body.graph
    net.head(net.relu(net.conv(net.op("If", flag, **branches), 12, 8)), 8)


def response(model: onnx.ModelProto, batch: int = 3) -> float:
    """Return how far the outputs of two inputs differ, as a share of their size; the least of all outputs."""
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    one, two = (session.run(None, feeds(model, seed, batch=batch)) for seed in (0, 1))
    return min(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in zip(one, two, strict=True))


def main() -> None:
    """Build every model, run it on two batch sizes and print how much its output depends on the input."""
    for name, build in HANDMADE.items():
        model = build()
        share = min(response(model, batch) for batch in (2, 3))
        print(f"{name:30} {len(model.graph.node):3} nodes, outputs of two inputs differ by {share:.0%}")


if __name__ == "__main__":
    main()
