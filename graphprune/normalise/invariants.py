"""What a Loop or Scan only carries along is read from outside instead.

Exporters hand weights from turn to turn as states that the body gives back unchanged. Inside the body such a
state looks like a value that is computed; read from outside it is the weight itself.
"""

from __future__ import annotations

import onnx_ir as ir

from graphprune.load.view import bodies_of

_FIRST_STATE = {"Loop": (2, 1), "Scan": (0, 0)}
"""Where states begin among the inputs and the outputs of a body; those of the node begin at 0."""


def capture_invariants(model: ir.Model) -> None:
    """Removes states that never change from every Loop and Scan, in place; what was a graph output stays."""
    _capture(model.graph)


def _capture(graph: ir.Graph) -> None:
    for node in tuple(graph):
        for body in bodies_of(node):
            _capture(body)
        if node.op_type in _FIRST_STATE and not node.domain:
            _release(node, next(bodies_of(node)))


def _release(node: ir.Node, body: ir.Graph) -> None:
    """Takes all states that never change out of one node."""
    first_in, first_out = _FIRST_STATE[node.op_type]
    states = range(_state_count(node))
    useless = [k for k in states if _never_changes(node, body, k, first_in, first_out)]
    if not useless:
        return
    for k in reversed(useless):
        body.outputs.pop(first_out + k)
    for k in useless:
        outer = node.inputs[first_in + k]
        assert outer is not None
        body.inputs[first_in + k].replace_all_uses_with(outer)
        node.outputs[k].replace_all_uses_with(outer)
    kept = ir.Node(
        node.domain,
        node.op_type,
        [value for k, value in enumerate(node.inputs) if k - first_in not in useless],
        list(node.attributes.values()),
        num_outputs=len(node.outputs) - len(useless),
        name=node.name,
    )
    graph = node.graph
    assert graph is not None
    graph.insert_before(node, kept)
    staying = [output for k, output in enumerate(node.outputs) if k not in useless]
    for old, new in zip(staying, kept.outputs, strict=True):
        new.name, new.type, new.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    for k in reversed(useless):
        body.inputs.pop(first_in + k)


def _state_count(node: ir.Node) -> int:
    if node.op_type == "Loop":
        return len(node.inputs) - 2
    return len(node.inputs) - node.attributes["num_scan_inputs"].as_int()


def _never_changes(node: ir.Node, body: ir.Graph, k: int, first_in: int, first_out: int) -> bool:
    """Whether the body gives back state `k` as it got it, and nothing else holds on to it."""
    if node.inputs[first_in + k] is None or node.outputs[k].is_graph_output():
        return False
    value: ir.Value | None = body.outputs[first_out + k]
    if sum(output is value for output in body.outputs) > 1:
        return False
    while value is not None and (made := value.producer()) is not None and made.graph is body:
        if made.op_type != "Identity" or made.domain:
            return False
        value = made.inputs[0]
    return value is body.inputs[first_in + k]
