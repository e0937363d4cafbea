"""Removes layers: what a branch gives without weights is added instead, or nothing where that is zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Layer
from graphprune.analysis.layers import End
from graphprune.analysis.weights import zero_of
from graphprune.dims import Keeps
from graphprune.dims.evaluate import cut
from graphprune.dims.expr import Const
from graphprune.errors import ModelError
from graphprune.normalise.evaluate import evaluate
from graphprune.rewrite.editing import Editor
from graphprune.rewrite.masking import is_masked, zero_removed

Array = NDArray[Any]


def remove_layers(editor: Editor, model: ir.Model, analysis: Analysis, keeps: Keeps) -> None:
    """Cut off the branches that keep nothing; what only fed them is dead code from then on.

    Args:
        editor: of the graph that is made.
        model: the model that was analysed, with the weights that are to be used.
        analysis: of that model.
        keeps: kept slots by atom id.
    """
    constants = _Constants(model, analysis, keeps)
    left_out: dict[str, list[int]] = {}
    for layer in removed(analysis, keeps):
        for end in layer.ends:
            node, index = editor.nodes[end.operand[0]], end.operand[1]
            value = constants.of(layer, end)
            if value is None:
                left_out.setdefault(end.operand[0], []).append(index)
            else:
                editor.set_input(node, index, editor.constant(value, f"{end.branch}_constant"))
    for name in (n.name for n in analysis.facts.nodes if n.name in left_out):
        _shorten(editor, editor.nodes[name], left_out)


def removed(analysis: Analysis, keeps: Keeps) -> list[Layer]:
    """The layers that keep nothing, in order."""
    return [x for x in analysis.layers if x.atom in keeps and not keeps[x.atom].count]


def _shorten(editor: Editor, node: ir.Node, left_out: dict[str, list[int]]) -> None:
    """A sum without some operands: those that are left, the one that is, or nothing."""
    gone = left_out[str(node.name)]
    stay = [v for k, v in enumerate(node.inputs) if k not in gone and v is not None]
    result = node.outputs[0]
    if not stay:  # then it is itself one operand of a sum
        ((user, index),) = result.uses()
        left_out.setdefault(str(user.name), []).append(index)
        return
    if len(stay) == 1 and not result.is_graph_output():
        result.replace_all_uses_with(stay[0])
        return
    for index, value in enumerate(stay):
        node.replace_input_with(index, value)
    node.resize_inputs(len(stay))
    if len(stay) == 1:
        node.op_type = "Identity"


class _Constants:
    """What branches give without the weight they end in."""

    def __init__(self, model: ir.Model, analysis: Analysis, keeps: Keeps) -> None:
        self._graph, self._analysis, self._keeps = model.graph, analysis, keeps
        self._nodes = {n.name: n for n in model.graph}
        self._opset = dict(model.graph.opset_imports or model.opset_imports).get("", 1)
        self._version = int(model.ir_version)

    def of(self, layer: Layer, end: End) -> Array | None:
        """The constant that is added, with axes of 1 where it does not vary; None where it is zero."""
        if not end.biased:
            return None
        last = self._nodes[end.last]
        known = {str(last.outputs[0].name): self._bare(layer, last)}
        for name in end.tail:
            node = self._nodes[name]
            given = [None if v is None else self._value(v, known) for v in node.inputs]
            found = evaluate(node, given, self._opset, self._version)
            if found is None:
                raise ModelError(f'cannot compute what "{name}" gives without the layer before it')
            known.update({str(v.name): a for v, a in zip(node.outputs, found, strict=True) if a is not None})
        whole = known[end.branch]
        place = tuple(slice(None) if k in end.varies else slice(0, 1) for k in range(whole.ndim))
        dims = [
            d if k in end.varies else Const(1, "the same everywhere")
            for k, d in enumerate(self._analysis.dims[end.branch])
        ]
        value = np.asarray(cut(whole[place], dims, self._keeps))
        for axis in end.varies:
            if (value == value.take([0], axis)).all():
                value = value.take([0], axis)
        return value if value.any() else None

    def _bare(self, layer: Layer, last: ir.Node) -> Array:
        """What a linear operator gives without its weight: its bias."""
        result = str(last.outputs[0].name)
        shape = self._analysis.recording.shapes[result]
        bias = last.inputs[2] if len(last.inputs) > 2 else None
        if bias is None:
            dtype = self._analysis.facts.weights[layer.weight].dtype
            return np.zeros(shape, dtype.numpy() if dtype.is_floating_point() else np.float32)
        value = self._value(bias, {})
        if last.op_type == "Gemm":
            beta = last.attributes["beta"].as_float() if "beta" in last.attributes else 1.0
            return np.array(np.broadcast_to(value * np.asarray(beta, value.dtype), shape))
        return np.array(np.broadcast_to(value.reshape(-1, *[1] * (len(shape) - 2)), shape))

    def _value(self, value: ir.Value, known: dict[str, Array]) -> Array:
        """What a tensor holds: computed before, stored, made of constants, or a recorded size."""
        name = str(value.name)
        if name in known:
            return known[name]
        if value.const_value is not None:
            array, weight = np.asarray(value.const_value.numpy()), self._analysis.weights.get(name)
            if weight is not None and is_masked(weight, self._keeps):
                array = np.asarray(
                    zero_removed(array, weight, self._keeps, zero_of(weight, self._analysis.facts))
                )
            return array
        recorded = self._analysis.recording.values.get(name)
        if recorded is not None and name not in self._analysis.facts.constant:
            return np.asarray(recorded)
        node = value.producer()
        found = None
        if node is not None:
            given = [None if v is None else self._value(v, known) for v in node.inputs]
            found = evaluate(node, given, self._opset, self._version)
        if node is None or found is None:
            raise ModelError(f'cannot compute "{name}", which the layer before it is added with')
        known.update({str(v.name): a for v, a in zip(node.outputs, found, strict=True) if a is not None})
        return known[name]
