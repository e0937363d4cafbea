"""Vocabularies keep their size to the outside: ids are translated, and outputs get the removed words back."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphprune.dims import Keeps
from graphprune.dims.evaluate import evaluate
from graphprune.rewrite.editing import Editor
from graphprune.rules.effects import Lookup, Restored


def translate_ids(editor: Editor, effect: Lookup, keeps: Keeps, *, masked: bool = False) -> None:
    """Put a table in front of a lookup: old ids to new ones; removed ones stand for the first that is kept.

    With `masked`, to old ids that are kept.
    """
    kept = evaluate(effect.dim, keeps)
    if kept.all():
        return
    new = np.arange(kept.size) if masked else np.cumsum(kept) - 1
    table = np.where(kept, new, new[np.flatnonzero(kept)[0]]).astype(np.int64)
    node = editor.nodes[effect.node]
    ids = node.inputs[effect.index]
    assert ids is not None
    stored = editor.constant(table, f"{effect.node}_ids")
    editor.set_input(
        node, effect.index, editor.node("Gather", [stored, ids], f"{effect.node}_translated", node)
    )


def restore_output(editor: Editor, effect: Restored, keeps: Keeps) -> None:
    """Give a graph output its removed slots back, as words that are impossible."""
    kept = evaluate(effect.dim, keeps)
    if kept.all():
        return
    source, node = _output(editor, effect.output)
    ends = np.zeros(2 * effect.rank, dtype=np.int64)
    ends[effect.rank + effect.axis] = 1
    fill = _fill(editor, effect, source, node)
    padded = editor.node_after("Pad", [source, editor.constant(ends, "one_more"), fill], "with_removed", node)
    places = np.where(kept, np.cumsum(kept) - 1, kept.sum()).astype(np.int64)
    index = editor.constant(places, f"{effect.output}_places")
    whole = editor.node_after("Gather", [padded.outputs[0], index], "restored", padded)
    whole.attributes["axis"] = ir.AttrInt64("axis", effect.axis)
    _give_out(editor, source, whole.outputs[0])


def mask_output(editor: Editor, effect: Restored, keeps: Keeps) -> None:
    """The same for the masked original, whose axis has all slots."""
    kept = evaluate(effect.dim, keeps)
    if kept.all():
        return
    source, node = _output(editor, effect.output)
    shape = [-1] + [1] * (effect.rank - 1 - effect.axis)
    stays = editor.constant(kept.reshape(shape), f"{effect.output}_kept")
    fill = _fill(editor, effect, source, node)
    _give_out(editor, source, editor.node_after("Where", [stays, source, fill], "masked", node).outputs[0])


def _output(editor: Editor, name: str) -> tuple[ir.Value, ir.Node]:
    value = next(v for v in editor.graph.outputs if v.name == name)
    node = value.producer()
    assert node is not None
    return value, node


def _fill(editor: Editor, effect: Restored, source: ir.Value, node: ir.Node) -> ir.Value:
    """A scalar of the type of the output, which every graph output has."""
    fill = editor.constant(np.array(effect.fill, np.float32), "impossible")
    if source.dtype is None or source.dtype == ir.DataType.FLOAT:
        return fill
    return editor.node("Cast", [fill], "impossible", node, to=int(source.dtype))


def _give_out(editor: Editor, source: ir.Value, value: ir.Value) -> None:
    """Make `value` the graph output that `source` was, under its name."""
    name, outputs = source.name, editor.graph.outputs
    value.shape, value.type = source.shape, source.type
    outputs[list(outputs).index(source)] = value
    source.shape, source.name = None, editor.unique(f"{name}_kept")
    value.name = name
