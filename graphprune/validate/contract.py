"""The contract: names, element types and free dimensions of inputs and outputs stay."""

from __future__ import annotations

import onnx_ir as ir


def check_contract(before: ir.Model, after: ir.Model) -> tuple[str, ...]:
    """What differs between the interfaces of two models, one sentence each; empty if nothing does."""
    found: list[str] = []
    weights = set(before.graph.initializers) | set(after.graph.initializers)
    for what, old, new in (
        ("input", before.graph.inputs, after.graph.inputs),
        ("output", before.graph.outputs, after.graph.outputs),
    ):
        names, others = ([v.name for v in vs if v.name not in weights] for vs in (old, new))
        if names != others:
            found.append(f"the {what}s are {others} and were {names}")
            continue
        by_name = {v.name: v for v in new}
        for value in old:
            if value.name in weights:
                continue
            twin = by_name[value.name]
            if value.dtype != twin.dtype:
                found.append(f'{what} "{value.name}" is {twin.dtype} and was {value.dtype}')
            if value.shape is not None and twin.shape is not None and list(value.shape) != list(twin.shape):
                found.append(f'{what} "{value.name}" has shape {twin.shape} and had {value.shape}')
    return tuple(found)
