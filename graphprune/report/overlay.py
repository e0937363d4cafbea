"""Node data for Model Explorer: the share of its work that every operator of the original lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

_COLOURS = ({"stop": 0, "bgColor": "#eef1f6"}, {"stop": 1, "bgColor": "#2563c9"})


def overlay(model: ir.Model, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Percent cut by node of the original's graph.

    Operators that compute nothing with weights count their parameters instead: a table that is looked up.
    """
    cut = {row["output"]: _cut(row) for row in layers}
    results = {
        node.name or f"<node_{n}>": {
            "value": cut[value.name]
        }  # what Model Explorer calls nodes without a name
        for n, node in enumerate(model.graph)
        for value in node.outputs
        if value.name in cut
    }
    return {
        model.graph.name or "": {"name": "graphprune: % cut", "results": results, "gradient": list(_COLOURS)}
    }


def _cut(row: Mapping[str, Any]) -> float:
    key = "macs" if row["before"]["macs"] else "params"
    left: float = float(row["after"][key]) / max(1, row["before"][key])
    return round(100 * (1 - left), 1)
