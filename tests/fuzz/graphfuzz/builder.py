"""A graph being written: tracks every shape, so that what is written is valid."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Axis = int | str
"""A size, or the name of a size that is only known at run time; equal names are equal sizes."""

T = TypeVar("T")


class Skip(Exception):
    """Raised by a move that finds nothing to work on."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A float tensor of the graph."""

    name: str
    shape: tuple[Axis, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def static(self, axis: int) -> int:
        """The size of an axis that must be known."""
        size = self.shape[axis]
        if isinstance(size, str):
            raise Skip
        return size

    def static_axes(self, least: int = 2) -> list[int]:
        """Axes of known size."""
        return [k for k, s in enumerate(self.shape) if isinstance(s, int) and s >= least]


def few(*sizes: Axis) -> None:
    """Skip where a product of two such sizes could be large: pixels of an image of free size."""
    if any((isinstance(s, str) and not s.isalpha()) or s in ("H", "V") for s in sizes):
        raise Skip


class Choices:
    """The random decisions of one step."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options; nothing fits if there are none."""
        if not options:
            raise Skip
        return self._random.choice(list(options))

    def number(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return self._random.randint(low, high)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self._random.random() < share

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in another order."""
        return self._random.sample(list(options), len(options))


class Builder:
    """Nodes, weights and live tensors of a graph that grows from top to bottom."""

    def __init__(self, seed: int, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.live: list[Tensor] = []
        self.used: set[str] = set()
        self._draw = np.random.default_rng(seed)
        self._count = 0

    # -- names and constants --------------------------------------------------------------------

    def name(self, base: str) -> str:
        """A name nobody has."""
        self._count += 1
        return f"{base}_{self._count}"

    def store(self, values: NDArray[Any], base: str) -> str:
        """A new initializer."""
        name = self.name(base)
        self.weights[name] = np.array(values, order="C")
        return name

    def ints(self, values: Sequence[int] | int, base: str = "ints") -> str:
        """An int64 constant, as an initializer or as a Constant node."""
        array = np.asarray(values, dtype=np.int64)
        if self._draw.random() < 0.2:
            name = self.name(base)
            self.nodes.append(
                helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(array))
            )
            return name
        return self.store(array, base)

    def weight(self, r: Choices, shape: Sequence[int], fan: int | None = None, base: str = "W") -> str:
        """Random weights in +-[0.3, 1.3] scaled by the fan; now and then one of the same shape again."""
        shape = tuple(shape)
        twins = [n for n, w in self.weights.items() if w.shape == shape and n.startswith(base + "_")]
        if twins and r.chance(0.15):
            return r.pick(twins)
        magnitude = self._draw.uniform(0.3, 1.3, shape) * self._draw.choice([-1.0, 1.0], shape)
        fan = fan if fan is not None else max(1, int(np.prod(shape[1:])))
        return self.store((magnitude / np.sqrt(fan)).astype(np.float32), base)

    def gain(self, r: Choices, shape: Sequence[int], base: str = "gain") -> str:
        """Random factors in [0.5, 1.5]."""
        shape = tuple(shape)
        twins = [n for n, w in self.weights.items() if w.shape == shape and n.startswith(base + "_")]
        if twins and r.chance(0.15):
            return r.pick(twins)
        return self.store(self._draw.uniform(0.5, 1.5, shape).astype(np.float32), base)

    def scalar(self, value: float) -> str:
        """A float32 scalar."""
        return self.store(np.float32(value), "scalar")

    # -- nodes ----------------------------------------------------------------------------------

    def op(self, op: str, inputs: Sequence[Tensor | str], shape: Sequence[Axis], **attributes: Any) -> Tensor:
        """A node with one output of the given shape."""
        return self.ops(op, inputs, [shape], **attributes)[0]

    def ops(
        self, op: str, inputs: Sequence[Tensor | str], shapes: Sequence[Sequence[Axis]], **attributes: Any
    ) -> list[Tensor]:
        """A node with an output for each shape."""
        name = self.name(op)
        names = [x.name if isinstance(x, Tensor) else x for x in inputs]
        outs = [Tensor(f"{name}.{k}", tuple(s)) for k, s in enumerate(shapes)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, names, [o.name for o in outs], name, **attributes))
        self.used.update(names)
        return outs

    def raw(self, op: str, inputs: Sequence[Tensor | str], base: str = "", **attributes: Any) -> str:
        """A node with one output that is no float tensor of its own (a shape, a mask)."""
        out = self.name(base or op)
        names = [x.name if isinstance(x, Tensor) else x for x in inputs]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, names, [out], out, **attributes))
        self.used.update(names)
        return out

    def keep(self, *tensors: Tensor) -> None:
        """Make tensors available to later steps."""
        self.live.extend(tensors)

    # -- picking --------------------------------------------------------------------------------

    def some(self, r: Choices, fits: Callable[[Tensor], bool] = lambda _: True) -> Tensor:
        """A live tensor, mostly a recent one."""
        found = [t for t in self.live if fits(t)]
        if len(found) > 3 and r.chance(0.7):
            found = found[-3:]
        return r.pick(found)

    def shape_of(self, tensor: Tensor | str, start: int | None = None, end: int | None = None) -> str:
        """The run-time shape of a tensor."""
        if self.opset < 15:
            start = end = None
        return self.raw("Shape", [tensor], start=start, end=end)

    def size_of(self, tensor: Tensor, axis: int, rank_one: bool = True) -> str:
        """The run-time size of an axis: shape (1,) or a scalar."""
        index = self.ints([axis] if rank_one else axis, "index")
        return self.raw("Gather", [self.shape_of(tensor), index], axis=0)

    # -- common motifs --------------------------------------------------------------------------

    def reshape(self, x: Tensor, shape: Sequence[Axis], target: Sequence[int]) -> Tensor:
        """A Reshape with a constant target."""
        return self.op("Reshape", [x, self.ints(target, "target")], shape)

    def transpose(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """Axes in another order."""
        return self.op("Transpose", [x], [x.shape[k] for k in order], perm=list(order))

    def linear(self, r: Choices, x: Tensor, out: int, bias: bool = True) -> Tensor:
        """MatMul over the last axis, and a bias."""
        wide = x.static(-1)
        made = self.op("MatMul", [x, self.weight(r, (wide, out), wide)], (*x.shape[:-1], out))
        return self.op("Add", [made, self.weight(r, (out,), 1, "b")], made.shape) if bias else made

    def reduce(self, op: str, x: Tensor, axes: Sequence[int], keep: bool = True) -> Tensor:
        """A reduction, its axes where the opset wants them."""
        flat = {k % x.rank for k in axes}
        shape = [1 if k in flat else s for k, s in enumerate(x.shape) if keep or k not in flat]
        as_input = self.opset >= 18 or (op == "ReduceSum" and self.opset >= 13)
        if as_input:
            return self.op(op, [x, self.ints(list(axes), "axes")], shape, keepdims=int(keep))
        return self.op(op, [x], shape, axes=list(axes), keepdims=int(keep))

    def squeeze(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Drop axes of size 1."""
        flat = {k % x.rank for k in axes}
        shape = [s for k, s in enumerate(x.shape) if k not in flat]
        if self.opset < 13:
            return self.op("Squeeze", [x], shape, axes=list(axes))
        return self.op("Squeeze", [x, self.ints(list(axes), "axes")], shape)

    def unsqueeze(self, x: Tensor, axis: int) -> Tensor:
        """A new axis of size 1 before `axis`."""
        shape = [*x.shape[:axis], 1, *x.shape[axis:]]
        if self.opset < 13:
            return self.op("Unsqueeze", [x], shape, axes=[axis])
        return self.op("Unsqueeze", [x, self.ints([axis], "axes")], shape)

    def split(
        self, x: Tensor, sizes: Sequence[int], axis: int, *, by_default: bool = False, negative: bool = False
    ) -> list[Tensor]:
        """Pieces of the given sizes; `by_default` leaves equal sizes to the operator."""
        shapes = [[n if k == axis else s for k, s in enumerate(x.shape)] for n in sizes]
        axis = axis - x.rank if negative else axis
        if by_default:
            return self.ops(
                "Split", [x], shapes, axis=axis, num_outputs=len(sizes) if self.opset >= 18 else None
            )
        if self.opset < 13:
            return self.ops("Split", [x], shapes, axis=axis, split=list(sizes))
        return self.ops("Split", [x, self.ints(list(sizes), "sizes")], shapes, axis=axis)

    # -- finishing ------------------------------------------------------------------------------

    def input(self, shape: Sequence[Axis], kind: int = TensorProto.FLOAT) -> Tensor:
        """A graph input."""
        tensor = Tensor(self.name("input"), tuple(shape))
        self.inputs.append(helper.make_tensor_value_info(tensor.name, kind, list(shape)))
        return tensor

    def model(self, outputs: Sequence[Tensor]) -> onnx.ModelProto:
        """The finished model."""
        infos = [
            helper.make_tensor_value_info(
                t.name, TensorProto.FLOAT, [s if isinstance(s, int) else None for s in t.shape]
            )
            for t in outputs
        ]
        stored = [numpy_helper.from_array(v, n) for n, v in self.weights.items()]
        graph = helper.make_graph(self.nodes, "fuzz", self.inputs, infos, stored)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=min(11, onnx.IR_VERSION)
        )
