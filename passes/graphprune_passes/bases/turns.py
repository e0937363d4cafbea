"""Rows and columns of weights multiplied by matrices: what a change of basis comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.passes import ScoringProblem
from graphprune.statistics import Linear, Moments
from graphprune_passes.criteria.units import Floats, Ints

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """Some outputs or some inputs of an operator in another basis.

    Attributes:
        item: the operator, of one block.
        places: rows of its matrix, whose bias goes with them, or columns of it.
        matrix: what rows are multiplied with from the left, or columns from the right.
        reads: columns, not rows.
    """

    item: Linear
    places: Ints
    matrix: Floats
    reads: bool = False


def matrix_of(problem: ScoringProblem, item: Linear) -> Floats:
    """The weight of an operator `(blocks, outputs, columns)`, a copy."""
    found = item.layout.matrix(item.view(problem.weight_array(item.weight)))
    return np.asarray(found.astype(np.float64))


def rows_of(problem: ScoringProblem, item: Linear, rows: Ints) -> Floats:
    """Some rows of the weight of an operator of one block."""
    found = item.layout.matrix(item.view(problem.weight_array(item.weight)))[0][rows]
    return np.asarray(found.astype(np.float64))


def bias_of(problem: ScoringProblem, item: Linear) -> Floats:
    """The bias of an operator of one block, by row of its matrix; zeros if there is none."""
    if not item.bias:
        return np.zeros(item.sizes[1])
    return np.asarray(problem.weight_array(item.bias).reshape(-1).astype(np.float64))


def second_moment(weight: Floats, shift: Floats, moments: Moments) -> Floats:
    """E[y y^T] of what rows of a weight give, with their bias, of inputs with these moments."""
    mean = weight @ moments.mean + shift
    return np.asarray(weight @ moments.covariance @ weight.T + np.outer(mean, mean))


def turned_weights(problem: ScoringProblem, turns: Iterable[Turn]) -> Mapping[str, Array]:
    """New values of all weights that turns touch."""
    by_weight: dict[str, list[Turn]] = {}
    for turn in turns:
        by_weight.setdefault(turn.item.weight, []).append(turn)
    found: dict[str, Array] = {}
    for name, some in by_weight.items():
        item = some[0].item
        matrix, bias = matrix_of(problem, item), bias_of(problem, item)
        for turn in some:
            if turn.reads:
                matrix[0][:, turn.places] = matrix[0][:, turn.places] @ turn.matrix
            else:
                matrix[0][turn.places] = turn.matrix @ matrix[0][turn.places]
                bias[turn.places] = turn.matrix @ bias[turn.places]
        like = problem.analysis.facts.weights[name].numpy()
        found[name] = item.stored(item.layout.tensor(matrix, item.shape), like)
        if item.bias and not all(t.reads for t in some):
            old = problem.weight_array(item.bias)
            found[item.bias] = bias.reshape(old.shape).astype(old.dtype)
    return found
