"""Queries and keys of attention in the basis in which the fewest directions tell scores.

Scores are q^T k, so q -> A^T q and k -> B^T k with A B^T = I leave them as they are. With the second moments
M_q = E[q q^T] and M_k = E[k k^T] over all positions, biases included, and M_q^1/2 M_k M_q^1/2 = U D^2 U^T,

    A = M_q^-1/2 U D^1/2,   B = M_q^1/2 U D^-1/2

make queries and keys whose directions are not correlated and are of the same size on both sides, E[q_i^2] =
E[k_i^2] = D_i, falling: if q and k are independent, keeping the first r directions is the best approximation
of rank r of the scores. Source: Wong et al., "A3: an Analytical Low-Rank Approximation Framework for
Attention", 2025, its component QK without rotary embeddings. Adapted: both sides get the root of D, so that
neither becomes small or large; heads of queries that share keys share a basis, found for the sum over them;
directions smaller than a thousandth of the largest count as that large.

Only where queries and keys go from their makers to their product without anything that tells directions
apart: no rotary embedding, no normalisation, no scale for each, and nobody else who reads them. The criterion
`query-key` sees D^2; squared weights do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.passes import ScoringProblem
from graphprune.statistics import Linear
from graphprune_passes.bases import values
from graphprune_passes.bases.flow import Flow, follow
from graphprune_passes.bases.meetings import Rows, meeting
from graphprune_passes.bases.turns import Turn, bias_of, rows_of, second_moment, turned_weights
from graphprune_passes.criteria.units import Floats, Ints

Array = NDArray[Any]
_Side = tuple[str, Rows]


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """Heads that meet one another: for each the operator that makes it and the row of each direction."""

    queries: tuple[tuple[Linear, Ints], ...]
    keys: tuple[tuple[Linear, Ints], ...]

    @property
    def name(self) -> frozenset[tuple[str, int]]:
        """What tells them from others: their rows."""
        return frozenset((m.weight, int(r)) for m, rows in (*self.queries, *self.keys) for r in rows)


def turned(problem: ScoringProblem) -> Mapping[str, Array]:
    """New values of the weights that make queries and keys of attention."""
    return turned_weights(problem, turns(problem))


def turns(problem: ScoringProblem) -> list[Turn]:
    """What makes queries and keys, turned."""
    # An axis of several groups shows the same heads once for each; the last is taken.
    every = (heads for g in problem.groups if g.kind == "head-dim" for heads in _heads(problem, g))
    found = list({heads.name: heads for heads in every}.values())
    makers = {m.weight: m for heads in found for m, _ in (*heads.queries, *heads.keys)}
    problem.statistics.collect(list(makers.values()))
    return [turn for heads in found for turn in _turns(problem, heads)]


def bases(queries: Floats, keys: Floats) -> tuple[Floats, Floats]:
    """A and B, for queries and keys with these second moments."""
    squares, vectors = np.linalg.eigh(keys)
    reader = np.sqrt(np.maximum(squares, 0))[:, None] * vectors.T
    forth, back = values.basis(queries, reader)
    sizes = np.linalg.norm(reader @ back.T, axis=0)
    halves = np.sqrt(np.maximum(sizes, max(values.SMALLEST * float(sizes.max()), 1e-12)))
    return forth * halves, back.T / halves


def _turns(problem: ScoringProblem, heads: _Heads) -> Iterator[Turn]:
    sides = (heads.queries, heads.keys)
    second = [sum(_second(problem, item, rows) for item, rows in side) for side in sides]
    for side, matrix in zip(sides, bases(*map(np.asarray, second)), strict=True):
        for item, rows in side:
            yield Turn(item, rows, matrix.T)


def _second(problem: ScoringProblem, item: Linear, rows: Ints) -> Floats:
    """The second moment of some outputs of an operator."""
    (moments,) = problem.statistics.moments(item)
    return second_moment(rows_of(problem, item, rows) * item.gain, bias_of(problem, item)[rows], moments)


def _heads(problem: ScoringProblem, group: Group) -> Iterator[_Heads]:
    """The heads of a group whose queries and keys may be turned, those that meet one another together."""
    flow = follow(problem, group)
    meetings: nx.Graph[_Side] = nx.Graph()
    spoilt: set[int] = set()
    for end in flow.ends:
        pairs = meeting(problem.analysis, group, end)
        meetings.add_edges_from((("query", q), ("key", k)) for q, k in pairs)
        spoilt |= end.rows_at(set(end.labels) - ({0, 1} if pairs else set()))
    used = Counter(row for _, rows in meetings for row in rows)
    for found in nx.connected_components(meetings):
        if all(used[row] == 1 and row not in spoilt for _, rows in found for row in rows):
            sides = [sorted(rows for side, rows in found if side == name) for name in ("query", "key")]
            queries, keys = ([_owned(flow, rows) for rows in side] for side in sides)
            whole = [[head for head in side if head is not None] for side in (queries, keys)]
            if len(whole[0]) == len(queries) and len(whole[1]) == len(keys):
                yield _Heads(tuple(whole[0]), tuple(whole[1]))


def _owned(flow: Flow, rows: Rows) -> tuple[Linear, Ints] | None:
    return flow.owner(np.asarray(rows, np.int64))
