"""What all forms of attention share: heads in one axis, rotated pairs, a scale that must stay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from graphprune.dims import Dim, add, multiply
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.effects import PinnedAttribute
from graphprune.rules.rule import Written, Zero


def split_heads(node: NodeContext, dim: Dim, heads: int) -> tuple[Dim, Dim]:
    """An axis as heads times their width."""
    if not heads or dim.size % heads:
        raise Barrier(f"{node.where} does not say how its heads are grouped")
    outer, inner = node.solver.factor(dim, heads)
    return node.solver.resolve(outer), node.solver.resolve(inner)


def joined(node: NodeContext, *dims: Dim) -> Dim:
    """The product of dimensions in their present form."""
    return multiply(node.solver.resolve(d) for d in dims)


def pin_scale(node: NodeContext, width: Dim) -> None:
    """Scores go on being divided by the root of the original width."""
    if not node.attribute("scale"):
        node.say(PinnedAttribute(node.name, "scale", 1.0 / math.sqrt(width.size), width))


def name_heads(node: NodeContext, heads: Iterable[Dim], widths: Iterable[Dim]) -> None:
    """What the dimensions are called towards users."""
    for dim in heads:
        node.kind(dim, "heads")
    for dim in widths:
        node.kind(dim, "head-dim")


def rotate(node: NodeContext, width: Dim, tables: Sequence[int], *, interleaved: bool, run: int = 1) -> Dim:
    """Two slots of a head turn together, neighbours or in two halves; the tables have one for each pair.

    Args:
        node: the node that rotates.
        width: of a head; only its first slots turn if the tables are smaller.
        tables: inputs that hold cosines and sines.
        interleaved: neighbours turn together, not halves.
        run: so many neighbouring pairs can only go together.

    Returns:
        The part of the width that turns.
    """
    pairs = node.shape(tables[0])[-1] if tables else 0
    if not 0 < 2 * pairs <= width.size:
        raise Barrier(f"the tables of {node.where} do not fit its heads")
    turned, _ = node.solver.split(width, 2 * pairs)
    if interleaved:
        pair, both = node.solver.factor(turned, pairs)
    else:
        both, pair = node.solver.factor(turned, 2)
    node.freeze(both, f"the two that turn together in {node.where}")
    in_runs(node, pair, run)
    for index in tables:
        node.solver.unify(node.dims(index)[-1], node.solver.resolve(pair))
    return node.solver.resolve(turned)


def in_runs(node: NodeContext, dim: Dim, run: int) -> None:
    """Only whole runs of neighbouring slots can go: the runtime wants a multiple."""
    why = f"heads of {node.where} must stay a multiple of {run} wide"
    if dim.size % run:
        node.freeze(dim, why)
    elif run > 1:
        node.freeze(node.solver.factor(dim, dim.size // run)[1], why)


def attention_zero(node: Written) -> Zero:
    """What the values hold; keys that are handed on too hold their own."""
    return "keep" if any(node.outputs[1:]) else "value"


def in_sum(node: NodeContext, *parts: Dim) -> Dim:
    """Parts of one axis, one after the other, in their present form."""
    return add(node.solver.resolve(p) for p in parts)
