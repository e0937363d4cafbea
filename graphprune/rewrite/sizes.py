"""Sizes written in the graph: inputs and attributes that must follow the dimensions they speak of."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.dims import Dim, Keeps, evaluate, kept_size
from graphprune.rewrite.editing import Editor
from graphprune.rewrite.vocabulary import restore_output, translate_ids
from graphprune.rules.effects import (
    AttributeSizes,
    Effect,
    Entry,
    InputPositions,
    InputSizes,
    Joined,
    Lookup,
    PinnedAttribute,
    Regrouping,
    ReshapeTarget,
    Restored,
    SplitSizes,
)


def apply_effect(editor: Editor, analysis: Analysis, keeps: Keeps, effect: Effect) -> None:
    """Bring one size-like value up to date; effects that say nothing about sizes do nothing."""
    match effect:
        case ReshapeTarget():
            _reshape(editor, analysis, keeps, effect)
        case Regrouping():
            _regroup(editor, keeps, effect)
        case InputSizes():
            _input_sizes(editor, analysis, keeps, effect)
        case AttributeSizes():
            _attribute_sizes(editor, keeps, effect)
        case SplitSizes():
            _split_sizes(editor, analysis, keeps, effect)
        case InputPositions():
            _positions(editor, keeps, effect)
        case Joined():
            _joined(editor, keeps, effect)
        case Lookup():
            translate_ids(editor, effect, keeps)
        case Restored():
            restore_output(editor, effect, keeps)
        case PinnedAttribute():
            if kept_size(effect.dim, keeps) != effect.dim.size:
                node = editor.nodes[effect.node]
                node.attributes[effect.attribute] = ir.AttrFloat32(effect.attribute, effect.value)


def _changed(dim: Dim, keeps: Keeps) -> bool:
    return kept_size(dim, keeps) != dim.size


def _known(analysis: Analysis, value: ir.Value) -> NDArray[np.generic] | None:
    """What an integer tensor held in the first run."""
    name = value.name or ""
    stored = analysis.facts.small_value(name)
    return stored if stored is not None else analysis.recording.values.get(name)


def _static(analysis: Analysis, name: str) -> bool:
    """True if the tensor holds the same at every size of the inputs."""
    if name in analysis.facts.weights or name in analysis.steady:
        return True
    if not analysis.recording.certain:
        return False
    first, second = analysis.recording.values.get(name), analysis.recording.values_second.get(name)
    return (
        name in analysis.facts.shaped
        and first is not None
        and second is not None
        and np.array_equal(first, second)
    )


# -- Reshape ------------------------------------------------------------------------------------


def _reshape(editor: Editor, analysis: Analysis, keeps: Keeps, effect: ReshapeTarget) -> None:
    if not any(_changed(d, keeps) for d in (*effect.before, *effect.after)):
        return
    node = editor.nodes[effect.node]
    target = node.inputs[1]
    assert target is not None
    old = _known(analysis, target)
    if (
        not any(_changed(d, keeps) for d in effect.after)
        and old is not None
        and not _copies_changed(old, effect, keeps)
    ):
        return
    allow_zero = bool(node.attributes["allowzero"].value) if "allowzero" in node.attributes else False
    entries = None
    if target.name in analysis.facts.weights and old is not None:
        entries = _edited(old, effect, keeps, allow_zero)
    if entries is None:
        entries = _rebuilt(analysis, node, effect, keeps, allow_zero)
    if entries is not None:
        editor.set_input(node, 1, editor.constant(np.array(entries, dtype=np.int64), f"{effect.node}_shape"))
        return
    ratios = [
        _ratio(d, keeps) if old is None or int(v) > 0 else Fraction(1) for d, v in _pairs(effect.after, old)
    ]
    editor.set_input(node, 1, _scaled(editor, target, ratios, node))


def _pairs(dims: Sequence[Dim], old: NDArray[np.generic] | None) -> list[tuple[Dim, int]]:
    values = np.ravel(old) if old is not None else np.ones(len(dims))
    return [(d, int(v)) for d, v in zip(dims, values, strict=True)]


def _copies_changed(old: NDArray[np.generic], effect: ReshapeTarget, keeps: Keeps) -> bool:
    return any(
        int(v) == 0 and k < len(effect.before) and _changed(effect.before[k], keeps)
        for k, v in enumerate(np.ravel(old))
    )


def _edited(
    old: NDArray[np.generic], effect: ReshapeTarget, keeps: Keeps, allow_zero: bool
) -> list[int] | None:
    """A constant target: keep its 0 and -1 where they still say the right thing."""
    entries = [int(v) for v in np.ravel(old)]
    if len(entries) != len(effect.after):
        return None
    for k, dim in enumerate(effect.after):
        copied = entries[k] == 0 and not allow_zero
        if copied and kept_size(effect.before[k], keeps) == kept_size(dim, keeps):
            continue
        if entries[k] > 0 or copied:
            entries[k] = kept_size(dim, keeps)
    return entries


def _rebuilt(
    analysis: Analysis, node: ir.Node, effect: ReshapeTarget, keeps: Keeps, allow_zero: bool
) -> list[int] | None:
    """A target computed at run time, as a constant with 0 (copied) and at most one -1; None if impossible."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    recording = analysis.recording
    if not recording.certain:
        return None
    dynamic = recording.dynamic(result.name or "")
    entries: list[int] = []
    for k, dim in enumerate(effect.after):
        if not dynamic[k]:
            entries.append(kept_size(dim, keeps))
        elif not allow_zero and k < len(effect.before) and _same_axis(recording, source, result, k, effect):
            entries.append(0)
        elif -1 not in entries:
            entries.append(-1)
        else:
            return None
    return entries


def _same_axis(
    recording: object, source: ir.Value, result: ir.Value, axis: int, effect: ReshapeTarget
) -> bool:
    shapes, second = recording.shapes, recording.second  # type: ignore[attr-defined]
    return bool(
        effect.before[axis] == effect.after[axis]
        and shapes[source.name][axis] == shapes[result.name][axis]
        and second[source.name][axis] == second[result.name][axis]
    )


def _regroup(editor: Editor, keeps: Keeps, effect: Regrouping) -> None:
    if not any(_changed(d, keeps) for d in effect.after):
        return
    node = editor.nodes[effect.node]
    sizes = [-1 if k == effect.moving else kept_size(d, keeps) for k, d in enumerate(effect.after)]
    data = node.inputs[0]
    assert data is not None
    target = editor.constant(np.array(sizes, dtype=np.int64), f"{effect.node}_shape")
    made = editor.node("Reshape", [data, target], f"{effect.node}_reshape", node)
    node.outputs[0].replace_all_uses_with(made)


# -- other inputs -------------------------------------------------------------------------------


def _stale(effect: InputSizes | AttributeSizes, keeps: Keeps) -> bool:
    dims = (*(e.dim for e in effect.entries if e is not None), *effect.along)
    return any(_changed(d, keeps) for d in dims)


def _input_sizes(editor: Editor, analysis: Analysis, keeps: Keeps, effect: InputSizes) -> None:
    if not _stale(effect, keeps):
        return
    node = editor.nodes[effect.node]
    value = node.inputs[effect.index]
    assert value is not None
    old = _known(analysis, value)
    if old is None or old.size != len(effect.entries):
        editor.set_input(
            node, effect.index, _scaled(editor, value, [_entry_ratio(e, keeps) for e in effect.entries], node)
        )
        return
    flat = [int(v) for v in np.ravel(old)]
    fresh = [
        v if e is None else kept_size(e.dim, keeps) + e.offset
        for v, e in zip(flat, effect.entries, strict=True)
    ]
    if _static(analysis, value.name or ""):
        made = np.array(fresh, dtype=old.dtype).reshape(old.shape)
        editor.set_input(node, effect.index, editor.constant(made, f"{effect.node}_sizes"))
        return
    # What is not the size itself (1 or -1: "as it is") stays.
    ratios = [
        _entry_ratio(e, keeps) if e is not None and v == e.dim.size else Fraction(1)
        for v, e in zip(flat, effect.entries, strict=True)
    ]
    editor.set_input(node, effect.index, _scaled(editor, value, ratios, node))


def _entry_ratio(entry: Entry | None, keeps: Keeps) -> Fraction:
    return Fraction(1) if entry is None else _ratio(entry.dim, keeps)


def _ratio(dim: Dim, keeps: Keeps) -> Fraction:
    """New size over old size; free of what changes at run time, because that is a factor of both."""
    return Fraction(kept_size(dim, keeps), dim.size) if dim.size else Fraction(1)


def _scaled(editor: Editor, value: ir.Value, ratios: Sequence[Fraction], before: ir.Node) -> ir.Value:
    """`value` with every element multiplied by its ratio, exactly."""
    if all(r == 1 for r in ratios):
        return value
    base = value.name or "size"
    down = editor.constant(np.array([r.denominator for r in ratios], dtype=np.int64), f"{base}_old")
    up = editor.constant(np.array([r.numerator for r in ratios], dtype=np.int64), f"{base}_new")
    divided = editor.node("Div", [value, down], f"{base}_units", before)
    return editor.node("Mul", [divided, up], f"{base}_pruned", before)


def _attribute_sizes(editor: Editor, keeps: Keeps, effect: AttributeSizes) -> None:
    if not _stale(effect, keeps):
        return
    node = editor.nodes[effect.node]
    name = effect.attribute
    if effect.scalar:
        entry = effect.entries[0]
        assert entry is not None
        node.attributes[name] = ir.AttrInt64(name, kept_size(entry.dim, keeps) + entry.offset)
        return
    old = (
        [int(v) for v in node.attributes[name].as_ints()]
        if name in node.attributes
        else [0] * len(effect.entries)
    )
    fresh = [
        v if e is None else kept_size(e.dim, keeps) + e.offset
        for v, e in zip(old, effect.entries, strict=True)
    ]
    node.attributes[name] = ir.AttrInt64s(name, fresh)


def _split_sizes(editor: Editor, analysis: Analysis, keeps: Keeps, effect: SplitSizes) -> None:
    if not any(_changed(d, keeps) for d in effect.pieces):
        return
    node = editor.nodes[effect.node]
    sizes = [kept_size(d, keeps) for d in effect.pieces]
    version = next(n.version for n in analysis.facts.all_nodes if n.name == effect.node)
    if version < 13:
        node.attributes["split"] = ir.AttrInt64s("split", sizes)
        return
    node.attributes.pop("num_outputs", None)
    editor.set_input(node, 1, editor.constant(np.array(sizes, dtype=np.int64), f"{effect.node}_split"))


def _positions(editor: Editor, keeps: Keeps, effect: InputPositions) -> None:
    if not any(a in keeps for a in effect.dim.atoms):
        return
    kept = evaluate(effect.dim, keeps)
    moved = np.cumsum(kept) - 1
    picked = effect.positions
    fresh = moved[picked] if picked.ndim == 0 else moved[picked[kept[picked]]]
    if picked.ndim > 1 and fresh.size:  # all but one axis of size 1
        fresh = fresh.reshape([-1 if s > 1 else 1 for s in picked.shape])
    node = editor.nodes[effect.node]
    made = np.asarray(fresh, dtype=np.int64) + effect.offset
    editor.set_input(node, effect.index, editor.constant(made, f"{effect.node}_indices"))


def _joined(editor: Editor, keeps: Keeps, effect: Joined) -> None:
    """Operands of a Concat go with their slots."""
    kept = evaluate(effect.dim, keeps)
    if kept.all():
        return
    node = editor.nodes[effect.node]
    stay = [v for v, k in zip(node.inputs, kept, strict=True) if k]
    for index, value in enumerate(stay):
        node.replace_input_with(index, value)
    node.resize_inputs(len(stay))
