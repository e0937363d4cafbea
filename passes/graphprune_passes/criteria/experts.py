"""Scores of experts by what they give, and of their neurons by what the router makes of them.

    reap       mean over the rows routed to an expert of its share times the norm of what it gives (Lasby et
               al., "REAP the Experts", 2025)
    man        mean over these rows of the norm of what it gives, whatever its share: frequency and share
               to the power 0 in the family frequency^a share^b activation^c (arXiv 2606.15716)
    moe-wanda  for a neuron inside an expert, mean_i |W_ij| * sqrt(E[(share * h_j)^2]) of the weight that
               reads it, over all rows; other groups are scored as by `wanda` (MoE-Pruner, 2024, is
               unstructured; the sum over a column is our reading)

What an expert gives is measured where all experts come together, with zeros in the weights of the others; a
row is routed to an expert if it gives anything there. For `man` shares that are not zero become one. A
neuron is read off by a weight that hands it on: a one in its column and zeros everywhere else. Shares are
those of the model, renormalised over the chosen if it does so. Groups that are no experts are scored by
their squared weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Group
from graphprune.errors import UsageError
from graphprune.passes import MemberScore, MemberScores, ScoringProblem
from graphprune.runtime.session import open_session
from graphprune.statistics.stages import StageModel
from graphprune_passes.criteria import activations
from graphprune_passes.criteria.mixtures import Mixture, find_mixture, mixture_atoms, read_through
from graphprune_passes.criteria.units import Floats, Ints, by_weight, count_of, unit_numbers

Array = NDArray[Any]

BATCHES = 16


def reap(problem: ScoringProblem) -> MemberScores:
    """Mean share times norm over the rows that are routed to an expert."""
    return _by_result(problem, equal_shares=False)


def man(problem: ScoringProblem) -> MemberScores:
    """Mean norm over the rows that are routed to an expert."""
    return _by_result(problem, equal_shares=True)


def wanda(problem: ScoringProblem) -> MemberScores:
    """Weights of the neurons of experts times activations as the router weighs them."""
    found = dict(activations.wanda(problem))
    analysis = problem.analysis
    mixtures = [m for a in mixture_atoms(analysis) if (m := find_mixture(analysis, a))]
    for group in problem.groups:
        for mixture in mixtures:
            name = read_through(analysis, mixture, group.atom)
            values = _weighed(problem, mixture, group, name) if name else None
            if values is not None:
                found[group.atom] = [MemberScore(values, "consumer")]
    return found


def _by_result(problem: ScoringProblem, equal_shares: bool) -> MemberScores:
    _ = problem.statistics  # refused before anything else where there are none
    found: dict[int, list[MemberScore]] = {}
    for group in problem.groups:
        if group.kind != "experts":
            found[group.atom] = by_weight(problem, group)
            continue
        mixture = find_mixture(problem.analysis, group.atom)
        if mixture is None:
            raise UsageError(
                f'what each of the experts "{group.key}" gives cannot be told apart in this model: score '
                "them by their weights (--criterion l2-group) or their router (--criterion router-similarity)"
            )
        found[group.atom] = [MemberScore(mean_norms(problem, mixture, group.size, equal_shares), "consumer")]
    return found


def mean_norms(problem: ScoringProblem, mixture: Mixture, count: int, equal_shares: bool) -> Floats:
    """Mean norm of what each expert gives, over the rows it gives anything to."""
    norms, rows = np.zeros(count), np.zeros(count)
    none = mixture.only(problem.analysis, None)
    alone = (mixture.only(problem.analysis, slot) for slot in range(count))
    for slot, result in _results(problem, mixture, none, alone, equal_shares):
        sizes = np.linalg.norm(result, axis=1)
        norms[slot] += sizes.sum()
        rows[slot] += np.count_nonzero(sizes)
    return np.asarray(norms / np.maximum(rows, 1))


def _results(
    problem: ScoringProblem,
    mixture: Mixture,
    none: Mapping[str, Array],
    variants: Iterable[Mapping[str, Array]],
    equal_shares: bool = False,
) -> Iterator[tuple[int, Floats]]:
    """What a mixture gives beyond what it gives with the weights `none`, for each variant of them.

    Yields:
        The number of the variant and rows `(rows, width)`, for each batch.
    """
    statistics = problem.statistics
    builder = StageModel(statistics.model, problem.analysis.facts)
    read = builder.inputs_of(mixture.nodes)
    batches = []
    for fed in itertools.islice(statistics.tensors(read), BATCHES):
        equal = {n: (fed[n] != 0).astype(fed[n].dtype) for n in mixture.gates if n in fed}
        batches.append({**fed, **equal} if equal_shares else fed)
    model = builder.build(mixture.nodes, [mixture.output], {}, {**batches[0], **none}, tuple(none))
    with open_session(model) as session:
        ports = {p.name for p in session.inputs}

        def run(fed: Mapping[str, Array], weights: Mapping[str, Array]) -> Floats:
            given = {k: v for k, v in {**fed, **weights}.items() if k in ports}
            result = session.run(given, [mixture.output])[mixture.output]
            rows = np.moveaxis(np.asarray(result, np.float64), mixture.axis, -1)
            return rows.reshape(-1, rows.shape[-1])

        still = [run(fed, none) for fed in batches]
        for number, weights in enumerate(variants):
            for fed, without in zip(batches, still, strict=True):
                yield number, run(fed, weights) - without


# -- neurons ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of the weight that reads neurons: the unit of each, and its place in the weight."""

    weight: Array
    axis: int  # of the outputs
    units: Ints

    @property
    def means(self) -> Floats:
        """Mean absolute weight of each column."""
        flat = np.moveaxis(self.weight, self.axis, 0).reshape(self.weight.shape[self.axis], -1)
        return np.asarray(np.abs(flat).mean(axis=0, dtype=np.float64))

    def handing_on(self, columns: Ints) -> Array:
        """A weight that gives these columns as its first outputs."""
        lead = np.moveaxis(np.zeros_like(self.weight), self.axis, 0)
        flat = np.zeros((lead.shape[0], lead[0].size), self.weight.dtype)
        flat[np.arange(len(columns)), columns] = 1
        return np.ascontiguousarray(np.moveaxis(flat.reshape(lead.shape), 0, self.axis))


def _columns(problem: ScoringProblem, mixture: Mixture, group: Group, name: str) -> _Columns | None:
    """The columns; None if the weight has not one axis of outputs, as wide as the mixture."""
    weight = problem.analysis.weights[name]
    inner = {group.atom, mixture.atom, *group.outer}
    free = [k for k, d in enumerate(weight.dims) if not inner & set(d.atoms) and d.size > 1]
    output = problem.analysis.dims.get(mixture.output, ())
    if len(free) != 1 or not output or output[mixture.axis] != weight.dims[free[0]]:
        return None
    units = np.broadcast_to(unit_numbers(weight.dims, problem.analysis, group), weight.shape)
    stored = problem.analysis.facts.weights[name].numpy()
    return _Columns(stored, free[0], np.moveaxis(units, free[0], 0)[0].reshape(-1))


def _weighed(problem: ScoringProblem, mixture: Mixture, group: Group, name: str) -> Floats | None:
    """Scores of the neurons of experts; None if the weight that reads them has an unknown form."""
    found = _columns(problem, mixture, group, name)
    if found is None:
        return None
    width = found.weight.shape[found.axis]
    every = np.flatnonzero(found.units >= 0)
    chunks = [every[k : k + width] for k in range(0, len(every), width)]
    squares, rows = np.zeros(len(found.units)), 0
    variants = ({name: found.handing_on(chunk)} for chunk in chunks)
    for number, result in _results(problem, mixture, {name: np.zeros_like(found.weight)}, variants):
        chunk = chunks[number]
        squares[chunk] += np.square(result[:, : len(chunk)]).sum(axis=0)
        rows += len(result) if number == 0 else 0
    scores = found.means * np.sqrt(squares / max(1, rows))
    total = np.bincount(found.units[every], scores[every], count_of(problem, group))
    return np.asarray(total.reshape(problem.shape_of(group)), np.float64)
