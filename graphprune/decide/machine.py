"""What is measured of the machine before a decision that depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.latency import LatencyModel
from graphprune.decide.rounding import AUTO
from graphprune.runtime.kernels import measured_kernels
from graphprune.runtime.profile import profile

if TYPE_CHECKING:
    from graphprune.decide.decision import Options


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured of the machine that the result will run on.

    Attributes:
        steps: by operator, the widths that its kernels compute at a time.
        latency: of the model as a function of what is kept; None where it is not needed or not to be had.
    """

    steps: Mapping[str, int]
    latency: LatencyModel | None = None


def needs_machine(options: Options) -> bool:
    """Whether options ask for what only a measurement can tell."""
    return options.round_to == AUTO or any(t.measure == "latency" for t in options.targets)


def measure_machine(
    model: ir.Model,
    analysis: Analysis,
    feeds: Mapping[str, NDArray[Any]] | None,
    provider: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> Machine:
    """Measure the kernels of this machine (once, then cached) and where the time of a model goes.

    Args:
        model: a normalised model.
        analysis: of that model.
        feeds: inputs to time it on; None to time nothing but the machine.
        provider: see `open_session`.
        say: told what is measured.

    Raises:
        ModelError: the model does not run.
    """
    # Stairs are those of one core's kernel, and of times only shares count: one thread has the least noise.
    steps = measured_kernels(provider, 1, say).steps
    if feeds is None:
        return Machine(steps)
    threads = 1 if provider == "cpu" else None
    found = profile(model, feeds, threads=threads, provider=provider)
    return Machine(steps, LatencyModel(analysis, found, steps))
