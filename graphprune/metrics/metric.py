"""A user's own measure of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.calibrate.hook import find_function
from graphprune.errors import GraphPruneError, UsageError
from graphprune.metrics.predict import Predict

_HINT = (
    "a metric is a function of one argument, predict, that returns a number, or numbers by name; "
    "predict(feeds) gives the model's outputs by name"
)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured.

    Attributes:
        name: for reports.
        function: from a `Predict` to a number, or to numbers by name of which the first counts.
        lower_is_better: whether smaller numbers are better.
    """

    name: str
    function: Callable[[Predict], Any]
    lower_is_better: bool = False

    def measure(self, predict: Predict) -> dict[str, float]:
        """The numbers by name, the one that counts first.

        Raises:
            UsageError: the function failed, or returned something else.
        """
        try:
            found = self.function(predict)
        except GraphPruneError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may raise anything, and must not end ours
            raise UsageError(f"the metric {self.name} failed: {type(error).__name__}: {error}") from None
        values = found if isinstance(found, Mapping) else {self.name.rpartition(":")[2]: found}
        try:
            numbers = {str(k): float(v) for k, v in values.items()}
        except (TypeError, ValueError):
            raise UsageError(f"the metric {self.name} returned {found!r:.80}: {_HINT}") from None
        if not numbers or not all(map(math.isfinite, numbers.values())):
            raise UsageError(f"the metric {self.name} returned {found!r:.80}, which is no finite number")
        return numbers

    def drop(self, before: float, after: float) -> float:
        """How much worse `after` is than `before`; negative if it is better."""
        return after - before if self.lower_is_better else before - after


def load_metric(what: str | Callable[..., Any] | Metric) -> Metric:
    """A metric from `module:function`, `file.py:function`, or the function itself.

    Raises:
        UsageError: there is no such function.
    """
    if isinstance(what, Metric):
        return what
    if callable(what):
        name, function = str(getattr(what, "__name__", type(what).__name__)), what
    elif ":" not in what:
        raise UsageError(
            f"cannot read the metric {what!r}: write module:function or file.py:function; {_HINT}"
        )
    else:
        name, function = what, find_function(what, "the metric", UsageError)
    return Metric(name, function, bool(getattr(function, "lower_is_better", False)))
