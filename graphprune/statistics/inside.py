"""What linear operators in the bodies of If, Loop and Scan read: of every turn, and of branches that ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.runtime.inside import Kind, Shown, show_inside
from graphprune.runtime.session import open_session
from graphprune.statistics.layout import ConvLayout, ConvTransposeLayout
from graphprune.statistics.linear import Linear
from graphprune.statistics.moments import Moments

Array = NDArray[Any]
Feeds = Mapping[str, Array]


def read_inside(
    model: ir.Model, analysis: Analysis, items: Sequence[Linear], batches: Sequence[Feeds]
) -> Iterator[dict[str, Array]]:
    """What operators read in each of the batches, all turns together; empty where their branch did not run.

    Args:
        model: a model that holds them; it is not changed.
        analysis: of the whole model.
        items: operators, in bodies or not.
        batches: inputs of `model`.
    """
    copy = model.clone()
    shown = show_inside(copy, kinds_of(analysis, items))
    outputs = {v.name for v in copy.graph.outputs}
    others = {i.input for i in items} - set(shown)
    for value in (v for node in copy.graph for v in node.outputs if v.name in others - outputs):
        copy.graph.outputs.append(value)
    with open_session(copy) as session:
        given = {p.name for p in session.outputs}
        wanted = [*(s.output for s in shown.values()), *sorted(others & given)]
        for feeds in batches:
            found = session.run(feeds, wanted)
            yield {i.input: array_of(i, found, shown, feeds) for i in items}


def kinds_of(analysis: Analysis, items: Sequence[Linear]) -> dict[str, Kind]:
    """Types and ranks of what operators read."""
    shapes, weights = analysis.recording.shapes, analysis.facts.weights
    return {i.input: Kind(weights[i.weight].dtype, len(shapes[i.input])) for i in items if i.input in shapes}


def array_of(item: Linear, found: Feeds, shown: Mapping[str, Shown], feeds: Feeds) -> Array:
    """What an operator reads, turns as samples."""
    if item.input not in shown:
        return np.asarray(found[item.input] if item.input in found else feeds[item.input])
    where = shown[item.input]
    array = np.asarray(found[where.output])
    if where.turns and array.size and isinstance(item.layout, ConvLayout | ConvTransposeLayout):
        return array.reshape(-1, *array.shape[where.turns + 1 :])
    return array


def unseen(moments: Moments, columns: int) -> None:
    """Take what no input has reached for white noise: then a unit counts by the size of its weights."""
    ones = np.eye(columns, dtype=np.float32) * np.float32(np.sqrt(columns))
    moments.add(np.concatenate([ones, -ones]))
