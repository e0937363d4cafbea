"""Rewriting by evaluation: every weight, shape constant and attribute follows from its expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from graphprune.analysis import Analysis
from graphprune.analysis.branches import branch_ends
from graphprune.dims import Dim, Keeps, kept_size
from graphprune.dims.evaluate import cut, evaluate
from graphprune.normalise.bodies import all_bodies
from graphprune.normalise.dead import remove_dead
from graphprune.rewrite.editing import Editor
from graphprune.rewrite.layers import remove_layers
from graphprune.rewrite.shapes import restore_shapes
from graphprune.rewrite.sizes import apply_effect
from graphprune.rules.effects import Branch


def rewrite(model: ir.Model, analysis: Analysis, keeps: Keeps) -> ir.Model:
    """A copy of `model` in which every dimension has only the slots that `keeps` names.

    Args:
        model: the normalised model that was analysed; it is not changed.
        analysis: its analysis.
        keeps: kept slots by atom id; atoms that are missing keep all. Layers that keep none go as a whole.
    """
    pruned = model.clone()
    _cut_weights(pruned.graph, analysis, keeps)
    editor = Editor(pruned.graph)
    for effect in analysis.effects:
        apply_effect(editor, analysis, keeps, effect)
    _bypass_branches(editor, analysis, keeps)
    remove_layers(editor, model, analysis, keeps)
    remove_dead(pruned, inside=True)
    restore_shapes(Editor(pruned.graph), analysis, keeps)
    remove_dead(pruned, inside=True)
    _forget_shapes(pruned.graph)
    return pruned


def _bypass_branches(editor: Editor, analysis: Analysis, keeps: Keeps) -> None:
    """Experts written out node by node: where a removed one brings nothing, read what came before."""
    branches = [e for e in analysis.effects if isinstance(e, Branch)]
    gone = {e.node for e in branches if not evaluate(e.dim, keeps)[e.slot]}
    if not gone:
        return
    for name, index in branch_ends(analysis.facts, analysis.recording.shapes, gone)[0]:
        node = editor.nodes[name]
        before = node.inputs[index]
        assert before is not None
        node.outputs[0].replace_all_uses_with(before)


def _cut_weights(graph: ir.Graph, analysis: Analysis, keeps: Keeps) -> None:
    for name, value in graph.initializers.items():
        weight = analysis.weights.get(name)
        tensor = value.const_value
        if weight is None or tensor is None or not any(a in keeps for d in weight.dims for a in d.atoms):
            continue
        shape = ir.Shape([kept_size(d, keeps) for d in weight.dims])
        value.const_value = _lazily_cut(tensor, weight.dims, keeps, shape, name)
        value.shape = shape


def _lazily_cut(
    tensor: ir.TensorProtocol, dims: Sequence[Dim], keeps: Keeps, shape: ir.Shape, name: str
) -> ir.LazyTensor:
    """The slice is made when it is written, so that never more than one is in memory."""

    def make() -> ir.Tensor[Any]:
        return ir.Tensor(cut(tensor.numpy(), dims, keeps), dtype=tensor.dtype, shape=shape, name=name)

    return ir.LazyTensor(make, dtype=tensor.dtype, shape=shape, name=name)


def _forget_shapes(graph: ir.Graph) -> None:
    """What the file said of intermediate shapes is no longer true, nor of anything inside bodies."""
    keep = {id(v) for v in (*graph.inputs, *graph.outputs)}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for value in node.outputs:
            if id(value) not in keep:
                value.shape = None
    for body in all_bodies(graph):
        for value in body.inputs:  # the runtime insists on their rank
            if value.shape is not None:
                value.shape = ir.Shape([None] * len(value.shape))
        for value in body.outputs:
            value.shape = None
