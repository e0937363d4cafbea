"""What was computed last: bisection asks an allocation dozens of times for one problem."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from graphprune.passes import AllocationProblem

T = TypeVar("T")


class Last(Generic[T]):
    """Remembers what was made for one problem, without keeping the problem alive: it holds the model."""

    def __init__(self, make: Callable[[AllocationProblem], T]) -> None:
        self._make = make
        self._found: tuple[weakref.ref[AllocationProblem], T] | None = None

    def of(self, problem: AllocationProblem) -> T:
        """What is made for a problem."""
        if self._found is None or self._found[0]() is not problem:
            self._found = (weakref.ref(problem), self._make(problem))
        return self._found[1]
