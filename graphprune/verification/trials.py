"""What other programs make of a pruned model, and whether they make less of it than of the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graphprune.consumers import Consumer, Trial, try_consumer
from graphprune.validate.compare import Outputs, is_real, largest_error
from graphprune.validate.equivalence import tolerance_for
from graphprune.validate.fidelity import Fidelity, measure_fidelity

# Other kernels round in other ways: ten times what two runs of the same runtime may differ by.
_OTHER_KERNELS = 10.0
_MOST = 5e-2


@dataclass(frozen=True, slots=True)
class ConsumerResult:
    """What one program made of the pruned model.

    Attributes:
        name: of the program.
        what: what was tried.
        version: of the program.
        status: "ok", "failed" or "not installed".
        reason: why it is not "ok".
        original: what it makes of the original: "" where that was not tried, because all is well.
        error: largest relative difference from the pruned model in ONNX Runtime.
        allowed: how much that may be; None for what quantises, which only has to run.
        fidelity: agreement with the pruned model.
        seconds: wall time.
    """

    name: str
    what: str
    version: str
    status: str
    reason: str = ""
    original: str = ""
    error: float | None = None
    allowed: float | None = None
    fidelity: tuple[Fidelity, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reference:
    """A file and what ONNX Runtime computes with it.

    Attributes:
        path: of the file.
        outputs: for each batch.
        rounding: how far the runtime's own optimisations move them.
    """

    path: Path
    outputs: Sequence[Outputs]
    rounding: float


def try_consumers(
    consumers: Sequence[Consumer],
    pruned: Reference,
    original: Reference | None,
    batches: Sequence[Outputs],
    limit_s: float,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[ConsumerResult, ...]:
    """Try programs on a pruned model; where one fails, on the original too.

    Args:
        consumers: which.
        pruned: the pruned model.
        original: the original, if it runs.
        batches: inputs, for both.
        limit_s: seconds for each.
        progress: told which one is tried.
    """
    found = []
    for consumer in consumers:
        progress(f"consumers {consumer.name}")
        result = _try(consumer, pruned, batches, limit_s)
        if result.status == "failed" and original is not None:
            before = _try(consumer, original, batches, limit_s)
            told = "fails too" if before.status == "failed" else before.status
            result = replace(result, original=told)
        found.append(result)
    return tuple(found)


def _try(consumer: Consumer, model: Reference, batches: Sequence[Outputs], limit_s: float) -> ConsumerResult:
    trial = try_consumer(consumer, model.path, batches, limit_s)
    head = (consumer.name, consumer.what, consumer.version)
    if trial.status != "ok":
        return ConsumerResult(*head, trial.status, trial.reason, seconds=round(trial.seconds, 2))
    error, output = max(map(largest_error, model.outputs, trial.outputs))
    allowed = _allowed(model, output) if consumer.exact else None
    reason = _complaint(trial, model, error, output, allowed)
    return ConsumerResult(
        *head,
        "failed" if reason else "ok",
        reason,
        error=error if np.isfinite(error) else None,
        allowed=allowed,
        fidelity=measure_fidelity(model.outputs, trial.outputs),
        seconds=round(trial.seconds, 2),
    )


def _allowed(model: Reference, output: str) -> float:
    plain = tolerance_for(model.outputs[0][output]) if output else 0.0
    return max(_OTHER_KERNELS * plain, min(_OTHER_KERNELS * model.rounding, _MOST))


def _complaint(trial: Trial, model: Reference, error: float, output: str, allowed: float | None) -> str:
    """What is wrong with the outputs, or ""."""
    for expected, found in zip(model.outputs, trial.outputs, strict=True):
        for name, array in expected.items():
            if name not in found:
                return f'it has no output "{name}"'
            if found[name].shape != array.shape:
                return f'output "{name}" has shape {found[name].shape} and should have {array.shape}'
            if is_real(array) and np.isfinite(array).all() and not np.isfinite(found[name]).all():
                return f'output "{name}" holds values that are not finite'
    if allowed is not None and error > allowed:
        return f'output "{output}" differs by {error:.2g} (allowed {allowed:.2g})'
    return ""
