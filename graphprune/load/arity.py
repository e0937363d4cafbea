"""Bodies of If, Loop and Scan: do they take and give as much as the node around them?"""

from __future__ import annotations

from graphprune.errors import ModelError
from graphprune.load.view import GraphView, NodeView

_FIRST_SCAN_WITHOUT_LENGTHS = 9  # before, the lengths of the sequences were the first input


def check_bodies(node: NodeView, version: int) -> None:
    """Raises ModelError for a body with other inputs than it is given, or fewer outputs than are read.

    Args:
        node: of the standard domain, with the inputs that its operator needs.
        version: opset of the standard domain.
    """
    match node.op:
        case "If":
            taken, given = 0, len(node.outputs)
        case "Loop":
            taken = len(node.inputs)
            given = 1 + max(taken - 2, len(node.outputs))
        case "Scan":
            taken = len(node.inputs) - (version < _FIRST_SCAN_WITHOUT_LENGTHS)
            given = len(node.outputs)
            _check_scanned(node, taken)
        case _:
            return
    for body in node.bodies:
        _check_body(node, body, taken, given)


def _check_body(node: NodeView, body: GraphView, taken: int, given: int) -> None:
    inputs = len(set(body.inputs) - set(body.initializers))
    if inputs != taken:
        raise ModelError(
            f"a body of {node} has {inputs} inputs, but is given {taken}; the model is not valid; "
            "export it again."
        )
    if len(body.outputs) < given:
        raise ModelError(
            f"a body of {node} has {len(body.outputs)} outputs, but {given} are needed; the model is not "
            "valid; export it again."
        )


def _check_scanned(node: NodeView, most: int) -> None:
    """A Scan goes through the last of its inputs."""
    for attribute in node.attributes:
        number = attribute.number
        if attribute.name == "num_scan_inputs" and number is not None and not 1 <= number <= most:
            raise ModelError(
                f"{node} says that it scans {number} inputs, but has {most}; the model is not valid; "
                "export it again."
            )
