"""What linear operators in the bodies of If, Loop and Scan read: of every turn, and of branches that ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.errors import ModelError
from graphprune.runtime.inside import Kind, Shown, show_inside
from graphprune.runtime.session import open_session
from graphprune.statistics.layout import ConvLayout
from graphprune.statistics.linear import Linear
from graphprune.statistics.moments import Moments
from graphprune.statistics.transposed import ConvTransposeLayout

Array = NDArray[Any]
Feeds = Mapping[str, Array]


def shown_inside(
    model: ir.Model, analysis: Analysis, items: Sequence[Linear], batches: Sequence[Feeds]
) -> tuple[ir.Model, dict[str, Shown]]:
    """A copy of a model that shows what operators read, as far as it then runs on the batches."""
    kinds = kinds_of(analysis, items)
    for ragged in (True, False):
        copy = model.clone()
        shown = show_inside(copy, kinds, ragged=ragged)
        if _runs(copy, shown, batches):
            return copy, shown
    return model.clone(), {}


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
    copy, shown = shown_inside(model, analysis, items, batches)
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


def _runs(model: ir.Model, shown: Mapping[str, Shown], batches: Sequence[Feeds]) -> bool:
    """Whether what was brought out has one shape in all turns: a matter of data for bodies in bodies only."""
    if not any(where.turns for where in shown.values()):
        return True
    wanted = [where.output for where in shown.values()]
    try:
        with open_session(model) as session:
            ports = {p.name for p in session.inputs}
            for feeds in batches if any(where.nested for where in shown.values()) else batches[:1]:
                session.run({n: a for n, a in feeds.items() if n in ports}, wanted)
    except ModelError:
        return False
    return True


def kinds_of(analysis: Analysis, items: Sequence[Linear]) -> dict[str, Kind]:
    """Types and ranks of what operators read."""
    shapes, weights = analysis.recording.shapes, analysis.facts.weights
    return {i.input: Kind(weights[i.weight].dtype, len(shapes[i.input])) for i in items if i.input in shapes}


def array_of(item: Linear, found: Feeds, shown: Mapping[str, Shown], feeds: Feeds) -> Array:
    """What an operator reads, turns as samples."""
    if item.input not in shown:
        nothing = np.zeros((0,), np.float32)  # it could not be brought out
        return np.asarray(found.get(item.input, feeds.get(item.input, nothing)))
    where = shown[item.input]
    array = np.asarray(found[where.output])
    if where.turns and array.size and isinstance(item.layout, ConvLayout | ConvTransposeLayout):
        return array.reshape(-1, *array.shape[where.turns + 1 :])
    return array


def unseen(moments: Moments, columns: int) -> None:
    """Take what no input has reached for white noise: then a unit counts by the size of its weights."""
    ones = np.eye(columns, dtype=np.float32) * np.float32(np.sqrt(columns))
    moments.add(np.concatenate([ones, -ones]))
