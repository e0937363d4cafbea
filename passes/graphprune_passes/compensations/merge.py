"""Merging: what a removed unit did is done by the remaining one that is most like it. No data are looked at.

If the incoming weights and the bias of unit r are a factor f > 0 times those of unit k, then so are their
activations, as long as the activation function is linear along rays (ReLU), and adding f times the
outgoing weights of r to those of k makes up for r exactly. So each removed unit is given to the kept one
with the largest cosine between incoming weights, with f the projection of one on the other; units that
point away from all kept ones are dropped. Source: Srinivas and Babu, "Data-free Parameter Pruning for
Deep Neural Networks", BMVC 2015; Intra-Fusion (Theus et al., 2024) spreads a unit over several by optimal
transport instead. Only channels and neurons are merged: heads and what is normalised are not linear in
their weights. A single batch normalisation behind the weight is taken into account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.passes import CompensationProblem, Repair, ScoringProblem
from graphprune.statistics import Linear, find_linear, unit_columns
from graphprune_passes.criteria.units import Floats, Ints, count_of, producers, unit_numbers

KINDS = ("channels", "neurons")
LARGEST = 4.0  # factors beyond it say that the kept unit is next to nothing


def merge(problem: CompensationProblem) -> Repair:
    """Give what reads a removed unit to the kept unit that is most like it."""
    analysis = problem.analysis
    linear = find_linear(analysis)
    result = Repair()
    for atom, slots in problem.keeps.items():
        group = analysis.by_atom[atom]
        if group.kind not in KINDS:
            continue
        scoring = ScoringProblem(analysis, (group,), problem.seed)
        partners, factors = pairs(
            incoming(scoring, group, linear), np.broadcast_to(slots.mask(group.size), scoring.shape_of(group))
        )
        for item in linear:
            units = None if item.why else unit_columns(item, analysis, group)
            if units is not None:
                stored = analysis.facts.weights[item.weight].numpy()
                now = result.weights.get(item.weight, stored)
                matrix = item.layout.matrix(item.view(now)).astype(np.float64)
                for block, numbers in zip(matrix, units, strict=True):
                    _give(block, numbers, partners, factors)
                result.weights[item.weight] = item.stored(item.layout.tensor(matrix, item.shape), stored)
    return result


def pairs(rows: Floats, kept: NDArray[np.bool_]) -> tuple[Ints, Floats]:
    """For each unit the kept unit most like it, -1 for none and for kept ones, and the factor."""
    kept = kept.reshape(-1)
    sizes = np.maximum(np.linalg.norm(rows, axis=1), 1e-30)
    cosines = (rows @ rows.T) / np.outer(sizes, sizes)
    cosines[:, ~kept] = -1
    best = cosines.argmax(axis=1)
    alike = cosines[np.arange(len(rows)), best]
    factors = np.minimum(alike * sizes / sizes[best], LARGEST)
    return np.where(kept | (alike <= 0), -1, best), factors


def incoming(problem: ScoringProblem, group: Group, linear: Sequence[Linear]) -> Floats:
    """Weights and biases that make each unit, as rows."""
    parts = [rows for _, rows in producers(problem, group, linear)]
    bias = np.zeros(count_of(problem, group))
    for name in dict.fromkeys(m.weight for m in group.members):
        weight = problem.analysis.weights[name]
        bias_like = weight.additive and weight.real and sum(s > 1 for s in weight.shape) <= 1
        if bias_like and not _is_norm(problem.analysis, name):
            bias += _vector(problem, group, name)
    norms = [
        n
        for n in problem.analysis.facts.nodes
        if n.op == "BatchNormalization" and any(m.weight == n.inputs[1] for m in group.members)
    ]
    if len(norms) == 1 and len(parts) == 1:
        gamma, beta, mean, variance = (_vector(problem, group, n) for n in norms[0].inputs[1:5])
        scale = gamma / np.sqrt(variance + float(norms[0].attributes.get("epsilon", 1e-5)))
        parts = [parts[0] * scale[:, None]]
        bias = (bias - mean) * scale + beta
    return np.concatenate([*parts, bias[:, None]], axis=1)


def _vector(problem: ScoringProblem, group: Group, name: str) -> Floats:
    units = np.broadcast_to(
        unit_numbers(problem.analysis.weights[name].dims, problem.analysis, group),
        problem.analysis.weights[name].shape,
    )
    values: NDArray[Any] = problem.weight_array(name)
    mine = units >= 0
    total = np.bincount(units[mine], values[mine].astype(np.float64), count_of(problem, group))
    return np.asarray(total, np.float64)


def _is_norm(analysis: Analysis, name: str) -> bool:
    return any(n.op == "BatchNormalization" and name in n.inputs[1:] for n in analysis.facts.all_nodes)


def _give(block: Floats, units: Ints, partners: Ints, factors: Floats) -> None:
    """Add the columns of removed units to those of their partners, in place."""
    places: dict[int, list[int]] = {}
    for column, unit in enumerate(units):
        places.setdefault(int(unit), []).append(column)
    for unit, columns in places.items():
        partner = int(partners[unit]) if unit >= 0 else -1
        if partner >= 0 and len(places.get(partner, ())) == len(columns):
            block[:, places[partner]] += factors[unit] * block[:, columns]
