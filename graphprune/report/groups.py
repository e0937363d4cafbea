"""The groups of an analysis as plain data: what `graphprune inspect --json` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.analysis import Analysis
from graphprune.report.data import reached, weights_in


def groups_as_data(analysis: Analysis, reasons: Mapping[str, str]) -> dict[str, Any]:
    """Groups with members, operators and the reason they are left alone (empty if they are cut)."""
    return {
        "nodes": sum(1 for _ in analysis.facts.all_nodes),
        "reached": reached(analysis),
        "groups": [
            {
                "key": g.key,
                "kind": g.kind,
                "size": g.size,
                "members": [f"{m.weight}[{m.axis}]" for m in g.members],
                "operators": analysis.operators_of(g) if g.members else [],
                "reason": reasons.get(g.key, ""),
            }
            for g in analysis.groups
        ],
        "layers": [
            {
                "key": x.key,
                "nodes": sorted(analysis.dead(frozenset({x.atom})) - analysis.weights.keys()),
                "weights": weights_in(analysis, x.atom),
                "reason": f"frozen: {x.frozen}" if x.frozen else "",
            }
            for x in analysis.layers
        ],
        "barriers": dict(analysis.barriers),
    }
