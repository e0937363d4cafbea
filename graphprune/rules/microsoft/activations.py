"""Activations, alone or with a bias in front."""

from __future__ import annotations

from graphprune.dims import Dim
from graphprune.rules.context import NodeContext
from graphprune.rules.elementwise import broadcast, unary
from graphprune.rules.rule import Written, Zero, rule


def _halves(node: NodeContext) -> None:
    """`x + bias`, of which the left half is multiplied by an activation of the right one."""
    (*batch, last), bias = node.dims(0), node.dims(1)[-1]
    node.solver.unify(last, bias)
    node.set(0, [*batch, _half(node, last)])


def _gate(node: NodeContext) -> None:
    """`swish(gate) * up`; without a second input both are halves of the first."""
    if node.has(1):
        broadcast(node)
        return
    *batch, last = node.dims(0)
    node.set(0, [*batch, _half(node, last)])


def _gate_zero(node: Written) -> Zero:
    """A gate that is zero is enough, an upper half only where nothing is added to it."""
    return "first" if node.attributes.get("activation_beta") or len(node.inputs) < 2 else "all"


def _half(node: NodeContext, both: Dim) -> Dim:
    """What two halves of an axis have in common: they are cut alike."""
    halves, common = node.solver.factor(both, 2)
    node.freeze(halves, f"the halves of {node.where}")
    return node.solver.resolve(common)


def _soft_max(node: NodeContext) -> None:
    """Slots behind `axis` are compared; the bias is stretched."""
    dims = node.dims(0)
    for dim in dims[node.axis(int(node.attribute("axis", 1)), len(dims)) :]:
        node.freeze(dim, f"compared slot by slot by {node.where}")
    for dim in node.dims(1):
        node.freeze(dim, f"a bias of {node.where}")
    node.set(0, dims)


RULES = {
    **{op: rule(unary, "keep") for op in ("Gelu", "QuickGelu", "ScaledSiLU")},
    **{op: rule(broadcast, "any", added=(1,)) for op in ("BiasGelu", "FastGelu")},
    "BiasAdd": rule(broadcast, "any", added=(1,)),
    "BiasDropout": rule("*b d, d, *b d -> *b d, *b d", "any", added=(1,), aside=(3, 4)),
    "BiasSoftmax": rule(_soft_max, "lift"),
    "BiasSplitGelu": rule(_halves, "any", added=(1,)),
    "SwiGLU": rule(_gate, _gate_zero),
}
