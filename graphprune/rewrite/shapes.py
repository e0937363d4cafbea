"""Shape and Size at run time: what reads them must go on seeing the sizes of the original model.

Whatever is computed from a size (an attention scale, a Reshape target, a loop bound) then has the value it
had, and the only places that need the new size are the ones whose rule names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.dims import Keeps, kept_size
from graphprune.rewrite.editing import Editor
from graphprune.rules.effects import ShapeOf


def restore_shapes(editor: Editor, analysis: Analysis, keeps: Keeps) -> None:
    """Correct every Shape and Size that is still read and would show a pruned size."""
    for effect in analysis.effects:
        if not isinstance(effect, ShapeOf) or effect.node not in editor.nodes:
            continue
        ratios = [Fraction(kept_size(d, keeps), d.size) if d.size else Fraction(1) for d in effect.dims]
        node = editor.nodes[effect.node]
        result = node.outputs[0]
        if all(r == 1 for r in ratios) or not (result.uses() or result.is_graph_output()):
            continue
        if node.op_type == "Size":
            total = Fraction(1)
            for ratio in ratios:
                total *= ratio
            _restore(editor, node, [total], result.uses())
        else:
            _restore_shape(editor, analysis, node, effect, ratios)


def _restore_shape(
    editor: Editor, analysis: Analysis, node: ir.Node, effect: ShapeOf, ratios: list[Fraction]
) -> None:
    """Readers of unchanged axes are left alone; readers of fixed sizes get them as constants."""
    moving = _moving(analysis, node, len(effect.dims))
    sizes = np.array([d.size for d in effect.dims], dtype=np.int64)
    rest: list[tuple[ir.Node, int]] = []
    for user, index in list(node.outputs[0].uses()):
        picked = _picked(user, index)
        if picked is None:
            rest.append((user, index))
        elif all(ratios[int(k)] == 1 for k in np.ravel(picked)):
            continue
        elif not any(moving[int(k)] for k in np.ravel(picked)) and not user.outputs[0].is_graph_output():
            fixed = editor.constant(sizes[picked], f"{user.outputs[0].name}_original")
            user.outputs[0].replace_all_uses_with(fixed)
        else:
            rest.append((user, index))
    if rest or node.outputs[0].is_graph_output():
        _restore(editor, node, ratios, rest)


def _moving(analysis: Analysis, node: ir.Node, count: int) -> tuple[bool, ...]:
    source = node.inputs[0]
    assert source is not None
    dynamic = analysis.recording.dynamic(source.name or "")
    if not analysis.recording.certain:
        return (True,) * count
    start = node.attributes["start"].as_int() if "start" in node.attributes else 0
    first = slice(start, None).indices(len(dynamic))[0]
    return dynamic[first : first + count]


def _picked(user: ir.Node, index: int) -> NDArray[np.int64] | None:
    """Which elements of a shape a Gather with a constant index reads."""
    if user.op_type != "Gather" or index != 0 or user.inputs[1] is None:
        return None
    tensor = user.inputs[1].const_value
    return None if tensor is None else np.asarray(tensor.numpy(), dtype=np.int64)


def _restore(
    editor: Editor, node: ir.Node, ratios: list[Fraction], users: Iterable[tuple[ir.Node, int]]
) -> None:
    """Original = seen / kept share, exactly; sizes that change at run time are a factor of both."""
    result = node.outputs[0]
    scalar = node.op_type == "Size"
    kept = np.array([r.numerator for r in ratios], dtype=np.int64)
    whole = np.array([r.denominator for r in ratios], dtype=np.int64)
    users = list(users)
    up = editor.constant(whole.reshape(()) if scalar else whole, f"{result.name}_whole")
    down = editor.constant(kept.reshape(()) if scalar else kept, f"{result.name}_kept")
    units = editor.node_after("Div", [result, down], f"{result.name}_units", node)
    original = editor.node_after("Mul", [units.outputs[0], up], f"{result.name}_original", units)
    for user, index in users:
        editor.set_input(user, index, original.outputs[0])
    if result.is_graph_output():
        editor.give_out(original.outputs[0], result)
