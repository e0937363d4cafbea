"""False sharing: one initializer for values that only happen to be equal.

Exporters merge equal initializers. All-zero biases of unrelated layers become one tensor, and would tie the
layers together. So every use gets an initializer of its own, weights that are really tied excepted.
"""

from __future__ import annotations

import hashlib
import itertools

import onnx_ir as ir

from graphprune.load.tensors import renamed
from graphprune.normalise.constants import is_constant
from graphprune.normalise.names import fresh_name, value_names
from graphprune.normalise.weights import is_tied

SHARED_FROM = "shared_from"
"""Key in the `meta` of a clone; its value is the name of the initializer that it was cloned from."""


def unshare(model: ir.Model) -> None:
    """Gives each use of an initializer of the main graph its own clone, in place; ties (`is_tied`) stay.

    The first use keeps the original and its name; if a body or a graph output uses it, that counts as the
    first. Clones are called `<name>__use1` and so on, share the data by reference, and remember their origin.
    """
    taken = value_names(model)
    for value in tuple(model.graph.initializers.values()):
        if is_constant(value, model.ir_version) and not is_tied(value):
            for node, index in _surplus_uses(value, model.graph):
                node.replace_input_with(index, _clone(value, model.graph, taken))


def reshare(model: ir.Model) -> None:
    """Merges clones of one initializer that are still equal in type, shape and bytes, in place."""
    families: dict[str, list[ir.Value]] = {}
    for value in model.graph.initializers.values():
        if (origin := value.meta.get(SHARED_FROM)) is not None:
            families.setdefault(origin, []).append(value)
    taken = value_names(model) if families else set()
    for origin, clones in families.items():
        original = model.graph.initializers.get(origin)
        if original is not None and is_constant(original, model.ir_version):
            clones.insert(0, original)
        largest = max(_merge(clones, model.graph), key=len)
        if origin not in taken:
            largest[0].name = origin


def _surplus_uses(value: ir.Value, graph: ir.Graph) -> list[tuple[ir.Node, int]]:
    """Returns all uses by nodes of the main graph but the one that keeps the original."""
    inside = [(node, index) for node, index in value.uses() if node.graph is graph]
    kept_elsewhere = len(inside) < len(value.uses()) or value.is_graph_output()
    return inside if kept_elsewhere else inside[1:]


def _clone(value: ir.Value, graph: ir.Graph, taken: set[str]) -> ir.Value:
    if value.const_value is None:
        raise ValueError(f"initializer {value.name!r} has no data")
    numbered = (f"{value.name}__use{number}" for number in itertools.count(1))
    name = next(name for name in numbered if name not in taken)
    taken.add(name)
    clone = ir.Value(
        name=name,
        type=ir.TensorType(value.const_value.dtype),
        shape=ir.Shape(value.const_value.shape.numpy()),
        doc_string=value.doc_string,
        const_value=renamed(value.const_value, name),
        metadata_props=dict(value.metadata_props),
    )
    clone.meta.update(value.meta)
    clone.meta[SHARED_FROM] = value.meta.get(SHARED_FROM, value.name)
    graph.register_initializer(clone)
    return clone


def _merge(values: list[ir.Value], graph: ir.Graph) -> list[list[ir.Value]]:
    """Makes each set of equal values one, the first of it; returns the sets."""
    sets: dict[tuple[object, ...], list[ir.Value]] = {}
    for value in values:
        sets.setdefault(_content(value), []).append(value)
    for first, *others in sets.values():
        for other in others:
            if other.is_graph_output() or other.name is None:
                continue
            other.replace_all_uses_with(first)
            del graph.initializers[other.name]
    return list(sets.values())


def _content(value: ir.Value) -> tuple[object, ...]:
    tensor = value.const_value
    if tensor is None:
        return (value.name,)
    data = b"\0".join(tensor.string_data()) if isinstance(tensor, ir.StringTensor) else tensor.tobytes()
    return tensor.dtype, tuple(tensor.shape.numpy()), hashlib.blake2b(data).digest()


def unshare_made(model: ir.Model) -> None:
    """Gives each use of a tensor that is filled with one number its own, in place.

    An exporter makes the empty states of all layers of a network at once; the layers have nothing else to
    do with each other. Only nodes of the main graph are looked at.
    """
    taken = value_names(model)
    for node in tuple(model.graph):
        if _fills(node):
            for user, index in [use for use in node.outputs[0].uses() if use[0].graph is model.graph][1:]:
                copy = ir.Node(
                    node.domain, node.op_type, list(node.inputs), attributes=list(node.attributes.values())
                )
                copy.outputs[0].name = fresh_name(node.outputs[0].name or "filled", taken)
                copy.outputs[0].type = node.outputs[0].type
                copy.name = f"{node.name}__{copy.outputs[0].name}"
                model.graph.insert_after(node, copy)
                user.replace_input_with(index, copy.outputs[0])


def _fills(node: ir.Node) -> bool:
    """Whether a node makes real numbers that are all the same."""
    if node.domain:
        return False
    if node.op_type == "ConstantOfShape":
        value = node.attributes.get("value")
        return value is None or bool(value.as_tensor().dtype.is_floating_point())
    source = node.inputs[0] if node.op_type == "Expand" else None
    number = None if source is None else source.const_value
    return number is not None and number.size == 1 and bool(number.dtype.is_floating_point())
