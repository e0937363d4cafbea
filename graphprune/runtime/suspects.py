"""Which inputs may have the wrong numbers, where a model refuses to run on numbers that were made up."""

import re

import onnx_ir as ir

from graphprune.runtime.cached import find_lengths
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.meaning import Kind, behind, meaning, value_flow

_NODE = re.compile(r"Name:'([^']*)'")
_MOST = 4


def suspects(model: ir.Model, error: str) -> str:
    """Names of inputs, in words, whose numbers reach the node that stopped a run; "" if there are none.

    Real numbers may be any, indices stay in their tables, and lengths that the graph explains agree; so whole
    numbers of other meaning are left.

    Args:
        model: that was run.
        error: what the runtime said.
    """
    said = _NODE.search(error)
    nodes = [n for n in model.graph.all_nodes() if said is not None and n.name == said.group(1)]
    reached = behind(v for n in nodes for v in n.inputs)
    flow = value_flow(model)
    lengths = find_lengths(model)
    agreeing = frozenset() if lengths is None else lengths.totals | lengths.lasts | lengths.masks
    found = [
        f'"{value.name}"'
        for value in real_inputs(model)
        if value.dtype is not None and value.dtype.is_integer() and (value in reached or not nodes)
        if value.name not in agreeing and meaning(value, flow, {}).kind is not Kind.INDEX
    ]
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more
