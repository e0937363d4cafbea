"""The measure of a search: the user's metric, or agreement with the original on inputs kept aside.

Agreement of an output that looks like class scores is the share of rows with the same largest entry, of any
other real output the cosine; that of a model is the least of its outputs'.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.calibrate import load_calibration
from graphprune.errors import UsageError
from graphprune.inputs import Wanted
from graphprune.metrics import Metric, opened
from graphprune.pipeline import Workbench
from graphprune.run import Run
from graphprune.search.wish import Wish
from graphprune.validate import measure_fidelity
from graphprune.validate.equivalence import run_all

_MADE_UP = 64


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a model is.

    Attributes:
        name: of the measure.
        judged_on: the inputs, in words; "" where only the metric knows.
        identity: tells this measure from every other one.
        of_original: finds out what the original has.
        of_run: finds out what a pruned model has.
    """

    name: str
    judged_on: str
    identity: str
    of_original: Callable[[], float]
    of_run: Callable[[Run], float]


def quality_of(wish: Wish, bench: Workbench, wanted: Wanted, seed: int) -> Quality:
    """The measure that was asked for.

    Raises:
        UsageError: agreement cannot be measured as asked.
    """
    if wish.metric is not None:
        return _by_metric(wish.metric, bench)
    return _by_agreement(wish.agreement, bench, wanted, seed)


def _by_metric(metric: Metric, bench: Workbench) -> Quality:
    def measured(model: Any) -> float:
        with opened(model, bench.source) as predict:
            return next(iter(metric.measure(predict).values()))

    source = bench.source
    return Quality(
        metric.name,
        "",
        f"{metric.name} {_written(metric.function)}",
        lambda: measured(source.path if source.path is not None else source.model),
        lambda run: measured(run.pruned),
    )


def _written(function: Callable[..., Any]) -> str:
    """A digest of the file that a function is written in; "" where there is none."""
    try:
        file = inspect.getsourcefile(function)
        text = b"" if file is None else Path(file).read_bytes()
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(text).hexdigest()


def _by_agreement(how: str, bench: Workbench, wanted: Wanted, seed: int) -> Quality:
    batches, said = _judges(bench, wanted, seed)
    reference = run_all(bench.source.model, batches, optimise=True)

    def agreement(run: Run) -> float:
        assert run.pruned is not None
        found = measure_fidelity(reference, run_all(run.pruned, batches, optimise=True))
        values = []
        for f in found:
            if how == "top1" and f.top1 is None:
                continue
            values.append(f.cosine if how == "cosine" or f.top1 is None else f.top1)
        if not values:
            what = "no output looks like class scores" if found else "no output holds real numbers"
            raise UsageError(f"agreement with the original cannot be measured: {what}; use --metric")
        return min(values)

    name = {"auto": "agreement", "top1": "same top-1", "cosine": "cosine"}[how]
    return Quality(name, said, f"fidelity {how}", lambda: 1.0, agreement)


def _judges(bench: Workbench, wanted: Wanted, seed: int) -> tuple[Sequence[Mapping[str, Any]], str]:
    if bench.inputs is not None:
        said = "made-up inputs" if bench.inputs.judges_made_up else bench.inputs.judged_on
        return bench.inputs.judges, said
    given = wanted.calibration is not None
    found = load_calibration(
        wanted.calibration if given else wanted.made_up,
        bench.normal,
        bench.analysis.recording,
        samples=wanted.samples if given else _MADE_UP,
        preprocessing=wanted.preprocessing,
        seed=seed,
    )
    return found.batches, "the calibration inputs" if given else "made-up inputs"
