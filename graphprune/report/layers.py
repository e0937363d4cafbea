"""The network layer by layer, in graph order: widths, parameters and multiply-adds before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.analysis import Analysis, CostModel
from graphprune.analysis.cost import Sizes
from graphprune.analysis.facts import NodeFacts
from graphprune.dims import Dim, Keeps

_LOOKUPS = ("Gather", "GatherBlockQuantized", "EmbedLayerNormalization")


def layers_as_data(analysis: Analysis, keeps: Keeps) -> list[dict[str, Any]]:
    """Every operator that multiplies, and every table that is looked up.

    A weight that several operators read counts in each of them. Products of two activations have no width.
    """
    counts = {atom: slots.count for atom, slots in keeps.items()}
    costs, whole, less = CostModel(analysis), Sizes({}), Sizes(counts)
    macs = costs.macs_by_node(), costs.macs_by_node(counts)
    dead = analysis.dead(analysis.removed_layers(counts))
    makers = {
        name: n for n in analysis.facts.all_nodes for name in n.outputs if name in analysis.facts.constant
    }
    rows = []
    for node in analysis.facts.all_nodes:
        weights = list(dict.fromkeys(_weights_of(node, analysis, makers)))
        looked_up = node.op in _LOOKUPS and weights and node.outputs[0] not in analysis.facts.constant
        if node.name not in macs[0] and not looked_up:
            continue
        width = _width(analysis.dims.get(node.outputs[0], ())) if weights else None
        rows.append(
            {
                "name": node.name,
                "op": node.op,
                "output": node.outputs[0],
                "groups": _groups(analysis, width),
                "before": _figures(whole, width, weights, macs[0].get(node.name, 0)),
                "after": _nothing(width)
                if node.name in dead
                else _figures(less, width, weights, macs[1].get(node.name, 0)),
            }
        )
    return rows


def _weights_of(
    node: NodeFacts, analysis: Analysis, makers: Mapping[str, NodeFacts]
) -> Iterator[tuple[Dim, ...]]:
    """Dimensions of the real weights with two axes or more that a node reads, also through constant nodes."""
    for name in node.inputs:
        weight = analysis.weights.get(name)
        if weight is not None and weight.real and weight.made is None and len(weight.dims) > 1:
            yield weight.dims
        elif name in makers and makers[name] is not node:
            yield from _weights_of(makers[name], analysis, makers)


def _width(dims: tuple[Dim, ...]) -> Dim | None:
    """The axis of an output that is made of slots: the last one that is."""
    return next((d for d in reversed(dims) if d.atoms), None)


def _groups(analysis: Analysis, width: Dim | None) -> list[str]:
    """Keys of the groups that make up a width."""
    atoms = width.atoms if width is not None else ()
    return [analysis.by_atom[a].key for a in sorted(atoms) if a in analysis.by_atom]


def _nothing(width: Dim | None) -> dict[str, int | None]:
    return {"width": None if width is None else 0, "params": 0, "macs": 0}


def _figures(
    size: Sizes, width: Dim | None, weights: list[tuple[Dim, ...]], macs: int
) -> dict[str, int | None]:
    return {
        "width": None if width is None else round(size(width)),
        "params": round(sum(math.prod(size(d) for d in dims) for dims in weights)),
        "macs": macs,
    }
