"""Several models side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphprune.metrics.metric import Metric
from graphprune.metrics.predict import opened
from graphprune.version import __version__

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes:
        metric: what.
        models: names of the models, in the order given.
        values: for each model the numbers by name.
    """

    metric: Metric
    models: tuple[str, ...]
    values: tuple[Mapping[str, float], ...]

    def differences(self, place: int) -> dict[str, float]:
        """The numbers of a model less those of the first one."""
        first = self.values[0]
        return {k: v - first[k] for k, v in self.values[place].items() if k in first}

    def as_data(self) -> dict[str, Any]:
        """As JSON-ready data, described in docs/quality.md."""
        return {
            "format": FORMAT,
            "graphprune": __version__,
            "metric": self.metric.name,
            "lower_is_better": self.metric.lower_is_better,
            "models": [
                {"model": name, "values": dict(values), "difference": self.differences(k)}
                for k, (name, values) in enumerate(zip(self.models, self.values, strict=True))
            ],
        }


def evaluate_models(
    models: Sequence[Any], metric: Metric, progress: Callable[[str], None] = lambda _: None
) -> Evaluation:
    """Measure models, one after the other.

    Args:
        models: paths, or models in memory.
        metric: what to measure.
        progress: told which model is measured.

    Raises:
        GraphPruneError: a model does not run, or the metric fails.
    """
    names, values = [], []
    for number, model in enumerate(models):
        name = os.fspath(model) if isinstance(model, str | os.PathLike) else f"model {number + 1}"
        progress(name)
        with opened(model) as predict:
            values.append(metric.measure(predict))
        names.append(name)
    return Evaluation(metric, tuple(names), tuple(values))
