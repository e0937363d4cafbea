"""All of attention in bases of its own: queries and keys as in `keys`, values as in `values`.

They touch other rows of weights, so one does not see the other. Values are turned here also where their width
is cut along with that of queries and keys (`shared`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from graphprune.passes import ScoringProblem
from graphprune_passes.bases import keys, values
from graphprune_passes.bases.shared import any_values
from graphprune_passes.bases.turns import turned_weights


def turned(problem: ScoringProblem) -> Mapping[str, NDArray[Any]]:
    """New values of the weights that make queries, keys and values, or read values."""
    return turned_weights(problem, [*keys.turns(problem), *values.turns(problem, any_values)])
