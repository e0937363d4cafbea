"""Arithmetic on constants, done once and for all: weight standardisation, scales, shapes.

What only moves weights about (Transpose, Reshape, Concat, ...) is left alone: through it the analysis sees
which weight is stored where, and ties of weights survive. It is folded only as a step towards arithmetic,
when the result is a few integers, or when one weight says as much: where weights are taken to pieces and all
of them put together again, as exporters do to bring the gates of a recurrent layer into ONNX's order, and
where a weight of moderate size is turned for a single use. The weight keeps its name then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.load.view import bodies_of
from graphprune.normalise.constants import become_initializer, is_constant
from graphprune.normalise.evaluate import announced_bytes, can_evaluate, evaluate

Array = NDArray[Any]
Results = list[Array | None]

TRANSPARENT = frozenset(
    (
        *("Identity", "Cast", "Transpose", "Concat", "Reshape", "Squeeze", "Unsqueeze", "Flatten"),
        *(
            "DequantizeLinear",
            "QuantizeLinear",
            "ConstantOfShape",
            "Slice",
            "Split",
            "Gather",
            "Expand",
            "Tile",
        ),
    )
)
"""Operators that carry a weight from its initializer to its use."""

_NEVER = frozenset(
    (
        *("Constant", "Dropout", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        *("Multinomial", "Bernoulli"),
    )
)
_MOVES = frozenset("Concat Flatten Gather Identity Reshape Slice Split Squeeze Transpose Unsqueeze".split())
_TAKES_APART = frozenset(("Gather", "Slice", "Split"))
_TURNED_BYTES = 64 << 20  # larger ones stay on the disk
_QUANTIZERS = frozenset(("DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear"))
_SHRINKING = ("Shape", "Size", "Reduce", "Arg")
_SHAPE_TYPES = (ir.DataType.INT32, ir.DataType.INT64, ir.DataType.BOOL)
_SMALL_BYTES = 64 * 1024
_GROWTH = 4


def fold_constants(model: ir.Model) -> None:
    """Replaces nodes of the main graph that compute with constants by their results, in place.

    A result is at most four times as large as what it is computed from, and a weight that is needed itself
    is not stored a second time in computed form.
    """
    folder = _Folder(model)
    for node in folder.nodes:
        folder.fold(node)


class _Folder:
    """Folds the constant nodes of one graph, in topological order."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._opset = model.graph.opset_imports.get("", 1)
        self._constant: set[ir.Node] = set()
        self._numbers: dict[tuple[object, ...], int] = {}
        self._computation: dict[ir.Node, int] = {}
        self._folded: dict[int, list[ir.Value | None]] = {}
        self._small: dict[ir.Node, Results] = {}
        self._gathered: set[str | None] = set()  # names of weights that are moved for good
        self.nodes = tuple(self._constant_nodes())

    def fold(self, node: ir.Node) -> None:
        """Replaces `node` by initializers if that is worth it, else leaves it."""
        if not self._reads_constants(node):  # a step before it could not be folded
            self._constant.discard(node)
            return
        computation = self._number(node)
        if any(value.is_graph_output() for value in node.outputs) or not any(v.uses() for v in node.outputs):
            return
        if computation in self._folded:
            self._reuse(node, self._folded[computation])
        elif self._move(node):
            return
        elif (results := self._results(node)) is not None:
            stored = [self._store(v, array) for v, array in zip(node.outputs, results, strict=True)]
            self._folded[computation] = stored
        elif node.op_type not in TRANSPARENT:
            self._constant.discard(node)
        if not any(value.uses() for value in node.outputs):
            self._model.graph.remove(node, safe=True)

    def _constant_nodes(self) -> Iterator[ir.Node]:
        for node in self._model.graph:
            if node.domain or node.op_type in _NEVER or node.op_identifier() in self._model.functions:
                continue
            if self._reads_constants(node) and not any(True for _ in bodies_of(node)):
                self._constant.add(node)
                yield node

    def _reads_constants(self, node: ir.Node) -> bool:
        inputs = [value for value in node.inputs if value is not None]
        return bool(inputs) and all(
            is_constant(value, self._model.ir_version) or value.producer() in self._constant
            for value in inputs
        )

    def _results(self, node: ir.Node) -> Results | None:
        """Returns the results of a node that is worth folding."""
        leaves = tuple(self._leaves(self._steps(node)))
        if not all(leaf.const_value is not None and can_evaluate(leaf.const_value.dtype) for leaf in leaves):
            return None
        size = sum(map(_bytes, leaves))
        if node.op_type in TRANSPARENT:
            is_shape = size <= _SMALL_BYTES and all(_is_shape(value) for value in node.inputs)
            results = self._run(node, _SMALL_BYTES) if is_shape else None
            return results if results is not None and all(map(_holds_shapes, results)) else None
        stays = any(_bytes(leaf) > _SMALL_BYTES and self._escapes(leaf) for leaf in leaves)
        if stays and not node.op_type.startswith(_SHRINKING):
            return None  # the weight would be stored twice, and a tie be lost
        results = self._run(node, _GROWTH * size + _SMALL_BYTES)
        return None if results is not None and stays and _total(results) > _SMALL_BYTES else results

    def _move(self, node: ir.Node) -> bool:
        """Replaces a node and all before it by one weight if they only move weights that nothing else needs.

        The weight gets the name of the first of those.
        """
        if node.op_type not in _MOVES or len(node.outputs) != 1:
            return False
        steps = self._steps(node)
        if not all(step.op_type in _MOVES for step in steps):
            return False
        moved = [leaf for leaf in self._leaves(steps) if not _is_shape(leaf)]
        inside, inner = set(steps), [v for step in steps if step is not node for v in step.outputs]
        if not moved or any(u not in inside for v in (*moved, *inner) for u, _ in v.uses()):
            return False
        size = sum(map(_bytes, moved))
        apart = any(step.op_type in _TAKES_APART for step in steps)
        turned = size <= _TURNED_BYTES and all(step.op_type == "Transpose" for step in steps)
        if not (apart or turned or self._gathered.issuperset(v.name for v in moved)):
            return False
        array = self._rearranged(node, moved, size)
        if array is None:
            return False
        graph, value = self._model.graph, node.outputs[0]
        for leaf in moved:
            del graph.initializers[str(leaf.name)]
        value.name = moved[0].name
        become_initializer(value, ir.Tensor(array, name=value.name))
        graph.remove(steps, safe=True)
        self._gathered.add(value.name)
        return True

    def _rearranged(self, node: ir.Node, moved: list[ir.Value], size: int) -> Array | None:
        """Returns what a node gives if it is made of all that some weights hold, once each."""
        if any(
            v.const_value is None or not can_evaluate(v.const_value.dtype) or v.is_graph_output()
            for v in moved
        ):
            return None
        results = self._run(node, size)
        if results is None or results[0] is None or results[0].nbytes != size:
            return None
        parts = [np.asarray(v.const_value.numpy()).ravel() for v in moved if v.const_value is not None]
        whole = np.sort(np.concatenate(parts))
        return results[0] if np.array_equal(np.sort(results[0], axis=None), whole) else None

    def _steps(self, node: ir.Node) -> tuple[ir.Node, ...]:
        """Returns a node and those that it depends on."""
        found: list[ir.Node] = []
        seen, waiting = {node}, [node]
        while waiting:
            found.append(waiting.pop())
            for value in found[-1].inputs:
                producer = None if value is None else value.producer()
                if producer is not None and producer not in seen:
                    seen.add(producer)
                    waiting.append(producer)
        return tuple(found)

    def _leaves(self, steps: Iterable[ir.Node]) -> dict[ir.Value, None]:
        """Returns the initializers that nodes read."""
        read = (v for step in steps for v in step.inputs)
        return {v: None for v in read if v is not None and v.producer() is None}

    def _escapes(self, value: ir.Value) -> bool:
        """Whether a constant is needed as it is, or moved about, where no arithmetic on constants is done."""
        return value.is_graph_output() or any(
            user not in self._constant
            or (user.op_type in TRANSPARENT and any(map(self._escapes, user.outputs)))
            for user, _ in value.uses()
        )

    def _run(self, node: ir.Node, limit: int) -> Results | None:
        """Returns the results of a node; None if it or a step before it fails or passes `limit` bytes."""
        if node in self._small:
            return self._small[node]
        inputs: Results = []
        for value in node.inputs:
            array = None if value is None else self._array(value, limit)
            if value is not None and array is None:
                return None
            inputs.append(array)
        try:
            if node.op_type in _QUANTIZERS or announced_bytes(node, inputs) > limit:
                return None
        except (ValueError, TypeError):
            return None  # inputs that do not fit the operator: the runtime shall complain, not we
        results = evaluate(node, inputs, self._opset, self._model.ir_version)
        if results is None or not all(map(_storable, results)) or _total(results) > limit:
            return None
        if _total(results) <= _SMALL_BYTES:
            self._small[node] = results
        return results

    def _array(self, value: ir.Value, limit: int) -> Array | None:
        producer = value.producer()
        if producer is None:
            return None if value.const_value is None else np.asarray(value.const_value.numpy())
        results = self._run(producer, limit)
        return None if results is None else results[producer.outputs.index(value)]

    def _store(self, value: ir.Value, array: Array | None) -> ir.Value | None:
        if array is None or not value.name or not value.uses():
            return None
        return become_initializer(value, ir.Tensor(array, name=value.name))

    def _reuse(self, node: ir.Node, known: list[ir.Value | None]) -> None:
        """Lets the users of a computation that was written twice share one result: a tie stays a tie."""
        for value, result in zip(node.outputs, known, strict=True):
            if result is not None:
                value.replace_all_uses_with(result)

    def _number(self, node: ir.Node) -> int:
        """Returns a number for what a node computes; equal computations have equal ones."""
        inputs = tuple(None if value is None else self._origin(value) for value in node.inputs)
        attributes = sorted(
            ir.to_proto(attribute).SerializeToString(deterministic=True)
            for attribute in node.attributes.values()
        )
        outputs = tuple(bool(value.uses()) for value in node.outputs)
        key = (node.op_type, inputs, outputs, *attributes)
        self._computation[node] = self._numbers.setdefault(key, len(self._numbers))
        return self._computation[node]

    def _origin(self, value: ir.Value) -> tuple[object, ...]:
        producer = value.producer()
        if producer is None:
            return (value.name,)
        return self._computation[producer], producer.outputs.index(value)


def _bytes(value: ir.Value) -> int:
    return 0 if value.const_value is None else value.const_value.nbytes


def _total(results: Results) -> int:
    return sum(array.nbytes for array in results if array is not None)


def _is_shape(value: ir.Value | None) -> bool:
    return value is None or (value.const_value is not None and value.const_value.dtype in _SHAPE_TYPES)


def _holds_shapes(array: Array | None) -> bool:
    return array is None or array.dtype in (np.int32, np.int64, np.bool_)


def _storable(array: Array | None) -> bool:
    return array is None or (array.dtype != object and can_evaluate(ir.DataType.from_numpy(array.dtype)))
