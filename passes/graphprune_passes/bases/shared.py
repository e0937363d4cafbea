"""Values whose width is cut along with that of queries and keys, as where one projection makes all three.

An axis of three holds queries, keys and values beside one another, so slot i stands for a direction of each.
What arrives at readers are values, and they may be turned like others (`values`); `keys` turns the rest, and
as directions fall in both, a slot stands for directions that matter about as much.
"""

from __future__ import annotations

import numpy as np

from graphprune.analysis import Group
from graphprune.passes import ScoringProblem
from graphprune.statistics import Linear, unit_columns
from graphprune_passes.bases.flow import End, follow
from graphprune_passes.bases.values import Values, unit_rows, values_of
from graphprune_passes.criteria.units import Ints


def any_values(problem: ScoringProblem, group: Group) -> Values | None:
    """Values of a group, whether anything else is cut along with them or not."""
    return values_of(problem, group) or _shared(problem, group)


def _shared(problem: ScoringProblem, group: Group) -> Values | None:
    analysis = problem.analysis
    reading = {
        i.node: (i, units)
        for i in problem.statistics.linear
        if (units := unit_columns(i, analysis, group)) is not None
    }
    if any(i.why or i.twins or i.outer or len(u) != 1 for i, u in reading.values()):
        return None
    flow = follow(problem, group)
    ends = [e for e in flow.ends if e.node is not None and e.node.name in reading]
    rows = {r for e in ends for r in e.rows_at(e.labels)}
    others = {r for e in flow.ends if e not in ends for r in e.rows_at(e.labels)}
    if not rows or rows & others or {e.node.name for e in ends if e.node is not None} != reading.keys():
        return None
    made = flow.owner(np.asarray(sorted(rows), np.int64))
    units = None if made is None else unit_rows(made[0], analysis, group)
    if made is None or units is None:
        return None
    mine = np.full_like(units, -1)
    mine[made[1]] = units[made[1]]
    if len(set(mine[made[1]])) != len(made[1]) or mine[made[1]].min() < 0:
        return None
    by_row = dict(zip(sorted(rows), mine[made[1]], strict=True))
    if not all(_agree(*reading[e.node.name], e, by_row) for e in ends if e.node is not None):
        return None
    return Values(group, made[0], mine, tuple(reading.values()))


def _agree(item: Linear, units: Ints, end: End, by_row: dict[int, int]) -> bool:
    """Whether every column of a reader gets the row of its unit, and nothing else is read there."""
    if set(end.labels) != {0} or end.node is None or end.node.inputs[0] != item.input:
        return False
    # One more than the number of the row, since zeros are what a convolution is padded with.
    rows = np.unique(item.layout.rows(end.labels[0] + 1, item.shape, None)[0], axis=0)
    return len(rows) == 1 and [by_row.get(int(r) - 1, -1) for r in rows[0]] == list(units[0])
