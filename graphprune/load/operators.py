"""Nodes of the standard domain against what ONNX says of their operators.

What later stages rely on is found here once: the inputs and outputs that must be there, and the attributes in
their types. ONNX Runtime refuses the same. Operators of other domains, operators that the installed onnx does
not know, and attributes that nobody reads pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import onnx

from graphprune.errors import ModelError
from graphprune.load.arity import check_bodies
from graphprune.load.view import AttributeView, GraphView, ModelView, NodeView

_HELP = "the model is not valid; export it again"


@dataclass(frozen=True, slots=True)
class _Schema:
    """What an operator of some version takes.

    Attributes:
        name: of the operator, with the opset that it is from.
        inputs, outputs: the smallest and the largest number.
        needed: positions of inputs that must not be left out.
        types: of the attributes, by name.
        required: names of attributes that must be there.
    """

    name: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    needed: tuple[int, ...]
    types: Mapping[str, int]
    required: tuple[str, ...]


def check_operators(model: ModelView) -> None:
    """Raises ModelError for a node, in a body or function too, that is no use of its operator."""
    _check_graph(model.graph, model.opsets, model)
    for key, function in model.functions.items():
        _check_graph(function, {**model.opsets, **model.function_opsets[key]}, model)


def _check_graph(graph: GraphView, opsets: Mapping[str, int], model: ModelView) -> None:
    version = opsets.get("", 0)
    for node in graph.all_nodes():
        if node.domain or node.function in model.functions:
            continue
        schema = _schema(node.op, version)
        if schema is not None:
            _check_node(node, schema)
            check_bodies(node, version)


@cache
def _schema(op: str, version: int) -> _Schema | None:
    try:
        found = onnx.defs.get_schema(op, version, "")
    except onnx.defs.SchemaError:
        return None
    if found.deprecated:
        return None
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    return _Schema(
        f"{op} of opset {found.since_version}",
        (found.min_input, found.max_input),
        (found.min_output, found.max_output),
        tuple(place for place, formal in enumerate(found.inputs) if formal.option == single),
        {name: int(a.type) for name, a in found.attributes.items()},  # type: ignore[call-overload]
        tuple(name for name, attribute in found.attributes.items() if attribute.required),
    )


def _check_node(node: NodeView, schema: _Schema) -> None:
    _check_count(node, "input", node.inputs, schema.inputs, schema)
    _check_count(node, "output", node.outputs, schema.outputs, schema)
    for place in schema.needed:
        if place < len(node.inputs) and not node.inputs[place]:
            raise ModelError(f"{node} has no input {place}, which {schema.name} needs; {_HELP}.")
    for attribute in node.attributes:
        _check_type(node, attribute, schema)
    if schema.required:
        there = {attribute.name for attribute in node.attributes}
        for name in schema.required:
            if name not in there:
                raise ModelError(f"{node} has no attribute '{name}', which {schema.name} needs; {_HELP}.")


def _check_count(
    node: NodeView, what: str, names: tuple[str, ...], allowed: tuple[int, int], schema: _Schema
) -> None:
    least, most = allowed
    count = len(names)
    if least <= count <= most:
        return
    while count > most and not names[count - 1]:
        count -= 1  # what was left out at the end is not there
    if not least <= count <= most:
        wanted = f"at least {least}" if count < least else f"at most {most}"
        raise ModelError(f"{node} has {count} {what}s, but {schema.name} has {wanted}; {_HELP}.")


def _check_type(node: NodeView, attribute: AttributeView, schema: _Schema) -> None:
    wanted = schema.types.get(attribute.name)
    if wanted is None or attribute.is_ref or attribute.type in (wanted, onnx.AttributeProto.UNDEFINED):
        return
    name = onnx.AttributeProto.AttributeType.Name
    found = (
        name(attribute.type) if attribute.type in onnx.AttributeProto.AttributeType.values() else "unknown"
    )
    raise ModelError(
        f"attribute '{attribute.name}' of {node} is of type {found}, but {schema.name} has one of type "
        f"{name(wanted)}; {_HELP}."
    )
