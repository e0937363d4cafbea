"""Channels of queries and keys by how much they say to each other; of values by what they add.

Where queries meet keys, a channel of a head scores `E[q^2] E[k^2]`, over all positions of the calibration
inputs, behind rotary embeddings; pairs that are turned together are added up, and so are heads that keep the
same channels. Source: Xu et al., "ThinK: Thinner Key Cache by Query-Driven Pruning", ICLR 2025, which does
this for the last queries of each prompt; a static choice for all inputs is our reading. Adapted: widths of
values, which are cut along with those of keys, score `E[v^2] ||W_v||^2` with the columns that read them.
Where queries and keys meet inside one operator, and for groups of other kinds, squared weights count.

`modules` takes the root of both factors, `sqrt(E[q^2]) sqrt(E[k^2])`, and the ridge leverage for everything
that is no width of a head (MoDeGPT, Lin et al., ICLR 2025; UniQL, 2025). In the basis that `values` makes,
what values add is the energy of a direction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from graphprune.analysis import Analysis, Group
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.rules.effects import Contraction
from graphprune_passes.criteria import leverage
from graphprune_passes.criteria.units import (
    Floats,
    Ints,
    by_weight,
    count_of,
    score_columns,
    unit_numbers,
)

BATCHES = 32


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Two activations whose product sums over a group.

    Attributes:
        names: of both.
        kept: for each the axes that stay, those both have in common and last the one summed over.
        units: the unit at each place of these.
    """

    names: tuple[str, str]
    kept: tuple[tuple[int, ...], tuple[int, ...]]
    units: Ints


def score(problem: ScoringProblem) -> MemberScores:
    """Product of the second moments of queries and keys, for each channel."""
    return _scores(problem, lambda squares: squares)


def modules(problem: ScoringProblem) -> MemberScores:
    """Product of the norms of queries and keys, for each channel; leverage for all other groups."""
    widths = tuple(g for g in problem.groups if g.kind == "head-dim")
    others = tuple(g for g in problem.groups if g.kind != "head-dim")
    found = {**_scores(replace(problem, groups=widths), np.sqrt)}
    return {**found, **leverage.score(replace(problem, groups=others))}


def _scores(problem: ScoringProblem, size: Callable[[Floats], Floats]) -> dict[int, list[MemberScore]]:
    meetings = {g.atom: list(_meetings(problem.analysis, g)) for g in problem.groups}
    names = [n for found in meetings.values() for m in found for n in m.names]
    sums: dict[tuple[str, tuple[int, ...]], Floats] = {}
    batches = 0
    for found in itertools.islice(problem.statistics.tensors(list(dict.fromkeys(names))), BATCHES):
        batches += 1
        for name, kept in dict.fromkeys(
            p for ms in meetings.values() for m in ms for p in zip(m.names, m.kept, strict=True)
        ):
            sums[name, kept] = sums.get((name, kept), 0) + _squares(np.asarray(found[name]), kept)
    added = score_columns(problem, lambda w, m: np.maximum(np.diag(m.second), 0) * np.square(w).sum(axis=0))
    scores: dict[int, list[MemberScore]] = {}
    for group in problem.groups:
        members = []
        for meeting in meetings[group.atom]:
            q, k = (size(sums[p] / batches) for p in zip(meeting.names, meeting.kept, strict=True))
            product = np.broadcast_to(q * k, np.broadcast_shapes(q.shape, k.shape, meeting.units.shape))
            units = np.broadcast_to(meeting.units, product.shape)
            total = np.bincount(units[units >= 0], product[units >= 0], count_of(problem, group))
            said = np.asarray(total.reshape(problem.shape_of(group)), np.float64)
            members.append(MemberScore(said, "consumer"))
        other = added[group.atom] if group.kind == "head-dim" else by_weight(problem, group)
        scores[group.atom] = members or list(other)
    return scores


def _squares(x: Floats, kept: tuple[int, ...]) -> Floats:
    """Mean square over all other axes, the kept ones in order."""
    moved = np.moveaxis(x.astype(np.float64), kept, range(-len(kept), 0))
    return np.asarray(np.square(moved).mean(axis=tuple(range(x.ndim - len(kept)))))


def _meetings(analysis: Analysis, group: Group) -> Iterator[_Meeting]:
    """Where two activations are multiplied and summed over a head's width."""
    if group.kind != "head-dim":
        return
    nodes = {n.name: n for n in analysis.facts.nodes}
    for effect in analysis.effects:
        if not isinstance(effect, Contraction) or group.atom not in effect.dim.atoms:
            continue
        node = nodes.get(effect.node)
        if node is None or len(effect.operands) != 2 or node.op not in ("MatMul", "Einsum"):
            continue
        names = tuple(node.inputs[k] for k in effect.operands)
        if any(n in analysis.facts.constant for n in names):
            continue
        dims = [analysis.dims[n] for n in names]
        common = [
            (a, b)
            for a, d in enumerate(dims[0])
            for b, e in enumerate(dims[1])
            if d == e and d.atoms and d != effect.dim
        ]
        inner = tuple(d.index(effect.dim) for d in dims)
        kept = tuple((*(pair[side] for pair in common), inner[side]) for side in (0, 1))
        along = [dims[0][k] for k in kept[0]]
        units = unit_numbers(along, analysis, group)
        yield _Meeting((names[0], names[1]), (kept[0], kept[1]), units)
