"""Passes: the criteria and allocations that can be swapped, found by name.

Every distribution offers one table under the entry-point group `graphprune.passes`; the shipped passes
are registered in the same way as anybody else's. See passes/README.md for how to write one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis import Analysis, Group
from graphprune.analysis.weights import real_values
from graphprune.errors import UsageError

Scores = Mapping[int, NDArray[np.float64]]
"""For every group (by atom id) a score for each slot, shape `(*outer sizes, size)`; higher is kept."""


@dataclass(frozen=True, slots=True)
class ScoringProblem:
    """What a criterion sees.

    Attributes:
        analysis: the analysed model, weights included (`weight_array`).
        groups: the groups to score.
        seed: of everything random.
    """

    analysis: Analysis
    groups: tuple[Group, ...]
    seed: int

    def weight_array(self, name: str) -> NDArray[np.generic]:
        """The real numbers of a weight, read when asked for."""
        return real_values(self.analysis.weights[name], self.analysis.facts)

    def shape_of(self, group: Group) -> tuple[int, ...]:
        """Shape of the scores of a group."""
        return (*(self.analysis.atom_sizes[o] for o in group.outer), group.size)


@dataclass(frozen=True, slots=True)
class AllocationProblem:
    """What an allocation sees.

    Attributes:
        groups: the groups to cut.
        scores: of every slot, comparable between groups.
        floors: smallest number of slots each group keeps, by atom id.
    """

    groups: tuple[Group, ...]
    scores: Scores
    floors: Mapping[int, int]


Criterion = Callable[[ScoringProblem], Scores]
Allocation = Callable[[AllocationProblem, float], dict[int, int]]
"""From a share of slots to remove, in [0, 1], to the number of slots each group keeps."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One swappable part: its kind, the name users call it by, and what it does."""

    kind: Literal["criterion", "allocation"]
    name: str
    run: Callable[..., Any]
    summary: str


@functools.cache
def all_passes() -> Mapping[tuple[str, str], Pass]:
    """Every installed pass by kind and name.

    Raises:
        UsageError: two distributions offer the same name.
    """
    found: dict[tuple[str, str], tuple[Pass, str]] = {}
    for entry in entry_points(group="graphprune.passes"):
        for offered in entry.load():
            key = (offered.kind, offered.name)
            if key in found:
                raise UsageError(
                    f"{offered.kind} {offered.name!r} is offered by both {found[key][1]} and {entry.value}: "
                    "uninstall one"
                )
            found[key] = (offered, entry.value)
    return {key: offered for key, (offered, _) in found.items()}


def find_pass(kind: str, name: str) -> Pass:
    """The pass of that kind and name.

    Raises:
        UsageError: there is none; names those there are.
    """
    passes = all_passes()
    if (kind, name) not in passes:
        known = ", ".join(sorted(n for k, n in passes if k == kind)) or "none is installed"
        raise UsageError(f"unknown {kind} {name!r}: choose from {known}")
    return passes[kind, name]
