"""Trajectories: how far the features behind a slot and the outputs move when it is taken out.

A slot's weights are set to zero and the network is run. The score is

    sum_l mean_samples || Gram(F_l) - Gram(F_l') ||_F^2  +  T^2 KL(softmax(y / T) || softmax(y' / T))

with F_l the outputs of the residual blocks (elsewhere of the operators that read a group) before and after,
Gram the cosines of all pairs of positions, or of samples where there are no positions, and y the outputs; the
second term is scaled to the mean size of the first. Source: Khaki and Plataniotis, "The Need for Speed:
Pruning Transformers with One Recipe" (OPTIN), ICLR 2024; its prior on the index of a unit is not here.
Adapted: the work is bounded. Every group gets as many runs as the others, and where it has more slots, those
that `wanda` scores alike are taken out together and share the loss in proportion to these scores. Outputs of
one number count by their squared error. Experts and vocabularies, which zeros do not take out, are scored by
their squared weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import CostModel, Group
from graphprune.analysis.weights import zero_of
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.runtime.session import open_session
from graphprune.statistics.stages import StageModel
from graphprune_passes.allocations.blocks import block_of
from graphprune_passes.criteria import activations
from graphprune_passes.criteria.units import (
    Floats,
    Ints,
    by_weight,
    count_of,
    items_reading,
    unit_numbers,
)

Array = NDArray[Any]
Feeds = Mapping[str, Array]

TRIALS = 160  # runs for all groups
WORK = 3e12  # multiply-adds of all runs
TEMPERATURE = 4.0
POSITIONS = 64  # of each sample
CHOSEN = ("experts", "vocabulary")


def score(problem: ScoringProblem) -> MemberScores:
    """Loss of features and outputs without each slot."""
    prior = {a: _added_up(m, problem) for a, m in activations.wanda(problem).items()}
    asked = [g for g in problem.groups if g.kind not in CHOSEN]
    chunks = [(g, c) for g in asked for c in _chunks(prior[g.atom], _runs(problem, asked))]
    losses = list(_losses(problem, chunks)) if chunks else []
    moved, told = (np.array([pair[k] for pair in losses]) for k in (0, 1))
    scale = moved.mean() / told.mean() if losses and moved.any() and told.any() else 1.0
    found: dict[int, Floats] = {g.atom: np.zeros(count_of(problem, g)) for g in asked}
    for (group, units), loss in zip(chunks, moved + scale * told, strict=True):
        share = prior[group.atom][units] + 1e-30
        found[group.atom][units] = loss * share / share.sum()
    return {
        g.atom: [MemberScore(found[g.atom].reshape(problem.shape_of(g)), "consumer")]
        if g.atom in found
        else by_weight(problem, g)
        for g in problem.groups
    }


def _added_up(members: Any, problem: ScoringProblem) -> Floats:
    return np.asarray(np.sum([m.values for m in members], axis=0), np.float64).reshape(-1)


def _runs(problem: ScoringProblem, groups: Sequence[Group]) -> int:
    """How many runs each group gets: fewer for large models, and always the same for one."""
    samples = max(len(a) for a in problem.statistics.trials[0].values())
    macs = CostModel(problem.analysis).cost().macs * samples
    return max(2, int(min(TRIALS, WORK / max(1, macs)) / max(1, len(groups))))


def _chunks(prior: Floats, runs: int) -> list[Ints]:
    """Units that are taken out together, alike in their prior score."""
    order = np.argsort(prior, kind="stable").astype(np.int64)
    return [c for c in np.array_split(order, min(runs, len(order))) if len(c)]


def _losses(problem: ScoringProblem, chunks: Sequence[tuple[Group, Ints]]) -> Iterator[tuple[float, float]]:
    """What features and outputs lose without these units."""
    statistics, facts = problem.statistics, problem.analysis.facts
    feeds = statistics.trials[0]
    names = list(dict.fromkeys(n for g, _ in chunks for n in _carriers(problem, g)))
    whole = {n: facts.weights[n].numpy() for n in names}
    watched = [n for n in _features(problem) if n not in facts.outputs]
    nodes = [n.name for n in facts.nodes]
    made = {o for n in facts.nodes for o in n.outputs}
    wanted = [*watched, *(n for n in facts.outputs if n in made)]
    model = StageModel(statistics.model, facts).build(nodes, wanted, {}, {**feeds, **whole}, tuple(names))
    with open_session(model) as session:
        ports = {p.name for p in session.inputs}

        def run(weights: Mapping[str, Array]) -> tuple[list[Floats], list[Array]]:
            given = {k: v for k, v in {**feeds, **whole, **weights}.items() if k in ports}
            found = session.run(given, wanted)
            return [gram(found[n]) for n in watched], [found[n] for n in wanted[len(watched) :]]

        grams, outputs = run({})
        for group, units in problem.counted(chunks):
            moved, told = run(_without(problem, group, units, whole))
            yield (
                sum(float(np.square(a - b).sum()) / len(a) for a, b in zip(grams, moved, strict=True)),
                sum(divergence(a, b) for a, b in zip(outputs, told, strict=True)),
            )


def _carriers(problem: ScoringProblem, group: Group) -> list[str]:
    """Initializers that have the slots of a group."""
    weights = (problem.analysis.weights[n] for n in dict.fromkeys(m.weight for m in group.members))
    return [w.name for w in weights if w.masked and w.made is None]


def _without(
    problem: ScoringProblem, group: Group, units: Ints, whole: Mapping[str, Array]
) -> dict[str, Array]:
    found = {}
    for name in _carriers(problem, group):
        weight = problem.analysis.weights[name]
        gone = np.isin(unit_numbers(weight.dims, problem.analysis, group), units)
        zero = zero_of(weight, problem.analysis.facts).astype(whole[name].dtype)
        found[name] = np.where(gone, zero, whole[name])
    return found


def _features(problem: ScoringProblem) -> list[str]:
    """Outputs of the blocks of all groups, or of the operators that read them, in graph order."""
    found: set[str] = set()
    for atom, items in items_reading(problem).items():
        block = block_of(problem.analysis, problem.statistics.linear, problem.analysis.by_atom[atom])
        found.update([block[1]] if block else (u.result for i, _ in items for u in i.uses))
    made = [o for n in problem.analysis.facts.nodes for o in n.outputs]
    return [n for n in made if n in found]


def gram(x: Array) -> Floats:
    """Cosines of all pairs of positions, `(samples, positions, positions)`; channels are last, or second."""
    x = np.asarray(x, np.float64)
    if x.ndim == 4:
        x = np.moveaxis(x, 1, -1)
    rows = x.reshape(1, *x.shape) if x.ndim <= 2 else x.reshape(x.shape[0], -1, x.shape[-1])
    chosen = np.linspace(0, rows.shape[1] - 1, min(rows.shape[1], POSITIONS)).astype(np.int64)
    rows = rows[:, chosen]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return np.asarray(rows @ rows.transpose(0, 2, 1))


def divergence(before: Array, after: Array) -> float:
    """`T^2 KL` of softmaxes along the last axis, mean over rows; squared error where that has one number."""
    if not np.issubdtype(before.dtype, np.floating) or before.shape != after.shape:
        return 0.0
    one, other = before.astype(np.float64), after.astype(np.float64)
    if one.ndim == 0 or one.shape[-1] < 2:
        return float(np.square(one - other).mean())
    first, second = (_log_softmax(v / TEMPERATURE) for v in (one, other))
    return float(TEMPERATURE**2 * (np.exp(first) * (first - second)).sum(axis=-1).mean())


def _log_softmax(x: Floats) -> Floats:
    x = x - x.max(axis=-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))
