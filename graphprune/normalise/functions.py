"""Model-local functions, inlined where that is possible; a call that stays is an unknown operator."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedFunctionsPass


def inline_functions(model: ir.Model) -> None:
    """Replaces calls of model-local functions by their bodies, in place.

    Left as calls: functions written for another opset than the model's, and those that take a graph.
    """
    if not model.functions:
        return
    for function in model.functions.values():
        _copy_passed_through(function)
    InlinePass(criteria=lambda function: _fits(function, model))(model)
    RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]


def _copy_passed_through(function: ir.Function) -> None:
    """Puts an Identity between an input and an output that are one value.

    Inlining would otherwise rename the caller's value to the name of the call's output.
    """
    seen: set[ir.Value] = set(function.inputs)
    for index, value in enumerate(tuple(function.outputs)):
        if value in seen:
            node = ir.Node("", "Identity", [value])
            function.append(node)
            function.outputs[index] = node.outputs[0]
        seen.add(value)


def _fits(function: ir.Function, model: ir.Model) -> bool:
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    if any(attribute.type in graphs for attribute in function.attributes.values()):
        return False
    if any(
        attribute.is_ref() and attribute.type in graphs
        for node in function.all_nodes()
        for attribute in node.attributes.values()
    ):
        return False
    imports = model.graph.opset_imports
    return all(
        imports.get(domain, version) == version
        for domain, version in function.opset_imports.items()
        if any(node.domain == domain for node in function.all_nodes())
    )
