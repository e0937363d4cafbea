"""Where queries meet keys: which rows of weights are multiplied with which, and added up over a head's width.

That is a product of two activations, or an operator that does all of attention, if it adds nothing to queries
and keys and hands no keys on.
"""

from __future__ import annotations

import numpy as np

from graphprune.analysis import Analysis, Group
from graphprune.analysis.facts import NodeFacts
from graphprune.dims import slots_of
from graphprune_passes.bases.flow import End
from graphprune_passes.bases.moves import Labels
from graphprune_passes.bases.products import product_letters
from graphprune_passes.criteria.units import Ints

Rows = tuple[int, ...]
"""The row of each direction of a head, in the order of slots."""

# Inputs with which an operator adds to queries and keys, or puts other keys before them.
_ADDED = {("", "Attention"): (4, 5), ("com.microsoft", "MultiHeadAttention"): (3, 6, 7, 8, 9)}


def meeting(analysis: Analysis, group: Group, end: End) -> set[tuple[Rows, Rows]]:
    """Which rows of queries meet which of keys over the width of a head; empty if none do."""
    if end.node is None or not {0, 1} <= end.labels.keys():
        return set()
    whole = (end.node.domain, end.node.op) in _ADDED
    if not whole and set(end.labels) != {0, 1}:
        return set()
    found = _of_operator(end.node, end.labels[0], end.labels[1]) if whole else _of_product(end)
    if found is None:
        return set()
    q, k, axis = found
    slots = slots_of(analysis.dims[end.node.inputs[0]][axis], group.atom)[: q.shape[-1]]
    order = np.argsort(slots, kind="stable")
    if not (slots >= 0).any():
        return set()
    return {
        (tuple(map(int, a)), tuple(map(int, b)))
        for some, others in zip(q[..., order], k[..., order], strict=True)
        for a in np.unique(some, axis=0)
        for b in np.unique(others, axis=0)
    }


def _of_product(end: End) -> tuple[Labels, Labels, int] | None:
    """The vectors that a product multiplies: `(places of both, places of its own, width)` twice.

    Returns:
        The vectors, and the axis of the first input along which they lie; None if it is no such product.
    """
    assert end.node is not None
    found = product_letters(end.node, [end.labels[k].ndim for k in (0, 1)])
    if found is None:
        return None
    terms, result = found
    inner = [c for c in terms[0] if c not in result]
    if len(inner) != 1 or inner[0] not in terms[1] or any(c not in result + inner[0] for c in terms[1]):
        return None
    shared = [c for c in result if c in terms[0] and c in terms[1]]
    sizes = [max(end.labels[k].shape[terms[k].index(c)] for k in (0, 1)) for c in shared]
    q, k = (_vectors(end.labels[k], terms[k], shared, sizes, inner[0]) for k in (0, 1))
    return q, k, terms[0].index(inner[0])


def _vectors(labels: Labels, term: str, shared: list[str], sizes: list[int], inner: str) -> Ints:
    own = [c for c in term if c not in shared and c != inner]
    laid = labels.transpose([term.index(c) for c in (*shared, *own, inner)])
    laid = laid.reshape(*laid.shape[: len(shared)], -1, laid.shape[-1])
    return np.broadcast_to(laid, (*sizes, *laid.shape[-2:])).reshape(-1, *laid.shape[-2:])


def _of_operator(node: NodeFacts, q: Labels, k: Labels) -> tuple[Labels, Labels, int] | None:
    """The same for an operator, whose heads are an axis of their own or side by side in the last one."""
    if any(node.outputs[1:]) or any(
        node.inputs[i] for i in _ADDED[node.domain, node.op] if i < len(node.inputs)
    ):
        return None
    axis = q.ndim - 1
    names = ("q_num_heads", "kv_num_heads") if node.op == "Attention" else ("num_heads", "num_heads")
    sides = []
    for labels, name in ((q, names[0]), (k, names[1])):
        count = int(node.attributes.get(name) or 0)
        if labels.ndim == 3 and count:
            labels = labels.reshape(*labels.shape[:2], count, -1).transpose(0, 2, 1, 3)
        if labels.ndim != 4:
            return None
        sides.append(labels)
    batch, heads, _, width = sides[1].shape  # queries that share a head of keys follow one another
    return sides[0].reshape(batch * heads, -1, width), sides[1].reshape(batch * heads, -1, width), axis
