"""Mask equivalence: the pruned model gives what the original gives with the removed weights at zero.

Random inputs at two sizes of every free dimension (the user's own, where the model refuses those) go through
ONNX Runtime, the pruned model as users will run it, with all optimisations. The tolerance is that of the
element type. Where they differ by more, both are run without optimisations (fused quantised kernels round in
their own way), and where a network magnifies rounding itself, that is measured (the masked model with and
without optimisations, and with other last bits: `rounding.py`) and the error must not exceed ten times as
much. Where the processor's products of bytes saturate, both are compared with weights for which they cannot
(`saturation.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.dims import Keeps
from graphprune.errors import ModelError, RuntimeMissingError
from graphprune.rewrite import masked
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.session import open_session
from graphprune.validate.compare import Outputs, errors_of, is_real, largest_error
from graphprune.validate.rounding import jittered_outputs
from graphprune.validate.saturation import halved, holds_bytes

Feeds = Mapping[str, NDArray[Any]]

TOLERANCES = {"float64": 1e-8, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
_WHOLE_NUMBERS = 1e-2  # share of elements that may differ: rounding decides ties
_MAGNIFIED = 10.0
_HOPELESS = 5e-2


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Outcome of the check.

    Attributes:
        status: "equal", "different", or "not checked" (the reason is in `note`).
        error: largest relative error over all runs, of the output that comes nearest to what is allowed.
        tolerance: what was allowed there.
        change: how much masking moved the outputs; near zero the check has little to see.
        output: that output.
        note: what else the user should know.
    """

    status: str
    error: float = 0.0
    tolerance: float = 0.0
    change: float = 0.0
    output: str = ""
    note: str = ""

    @property
    def failed(self) -> bool:
        """True if the models were compared and differ."""
        return self.status == "different"


def test_feeds(model: ir.Model, analysis: Analysis, seed: int, given: Sequence[Feeds]) -> list[Feeds]:
    """Random inputs at the recorded sizes, at the second ones if any dimension is free, and what is given.

    Where the model refuses random ones, those of the user's that it was recorded on take their place.
    """
    recording = analysis.recording
    if recording.given:
        return [*recording.given, *given]
    sizes = [recording.sizes]
    if dict(recording.sizes_second) != dict(recording.sizes):
        sizes.append(recording.sizes_second)
    return [*(random_feeds(model, s, seed + 1 + k) for k, s in enumerate(sizes)), *given]


def run_all(model: ir.Model, feeds: Sequence[Feeds], *, optimise: bool = False) -> list[Outputs]:
    """Outputs for each of the feeds."""
    with open_session(model, optimise=optimise, lean=True) as session:
        return [session.run(f) for f in feeds]


def check_equivalence(
    model: ir.Model,
    analysis: Analysis,
    keeps: Keeps,
    pruned: ir.Model,
    *,
    seed: int = 0,
    reference: Sequence[Outputs] | None = None,
    given: Sequence[Feeds] = (),
) -> Equivalence:
    """Compare `pruned` with the masked `model`.

    Args:
        model: the normalised model that was analysed.
        analysis: its analysis.
        keeps: kept slots by atom id.
        pruned: the rewritten model.
        seed: of the random inputs.
        reference: outputs of `model` for `test_feeds`, if at hand.
        given: inputs to compare on beside random ones.
    """
    inexact = [g.key for g in analysis.groups if g.atom in keeps and g.approximate]
    if inexact:
        return Equivalence(
            "not checked", note=f"{len(inexact)} groups were cut that can only be cut approximately"
        )
    if analysis.recording.method != "run":
        return Equivalence("not checked", note=analysis.recording.note)
    try:
        feeds = test_feeds(model, analysis, seed, given)
        before = reference if reference is not None else run_all(model, feeds)
        zeroed = masked(model, analysis, keeps)
        expected = run_all(zeroed, feeds)
    except (ModelError, RuntimeMissingError) as error:
        return Equivalence("not checked", note=str(error))
    outcome = _compared(zeroed, pruned, feeds, expected, before)
    if outcome.failed and holds_bytes(zeroed):
        outcome = _without_saturation(outcome, model, zeroed, pruned, feeds)
    if outcome.change < 1e-6 and keeps and not outcome.note:
        return replace(outcome, note="masking hardly moved the outputs: the check had little to see")
    return outcome


def _without_saturation(
    outcome: Equivalence, model: ir.Model, zeroed: ir.Model, pruned: ir.Model, feeds: Sequence[Feeds]
) -> Equivalence:
    """The outcome with 8-bit weights that cannot saturate, if that is the better one."""
    try:
        before, expected = (run_all(halved(m), feeds) for m in (model, zeroed))
    except ModelError:
        return outcome
    again = _compared(halved(zeroed), halved(pruned), feeds, expected, before)
    if again.failed:
        return outcome
    return replace(
        again, note="compared with 8-bit weights at half their size: here products of bytes saturate"
    )


def _compared(
    zeroed: ir.Model,
    pruned: ir.Model,
    feeds: Sequence[Feeds],
    expected: Sequence[Outputs],
    before: Sequence[Outputs],
) -> Equivalence:
    """Hold the pruned model against what the masked original gave."""
    try:
        found = run_all(pruned, feeds, optimise=True)
    except ModelError as error:
        return Equivalence("different", float("inf"), 0.0, 0.0, "", f"the pruned model does not run: {error}")
    change = max(largest_error(e, _comparable(f, e))[0] for e, f in zip(before, expected, strict=True))
    change = change if np.isfinite(change) else 1.0  # another shape is another output
    errors = _errors(expected, found, before)
    allowed = {name: tolerance_for(array) for outputs in expected for name, array in outputs.items()}
    if _beyond(errors, allowed):  # judge both without the runtime's optimisations, which round differently
        errors = _errors(expected, run_all(pruned, feeds), before)
    if (doubtful := _beyond(errors, allowed)) and max(errors[name] for name in doubtful) < _HOPELESS:
        for rounding in _roundings(zeroed, feeds, expected, before):
            allowed |= {name: max(allowed[name], _MAGNIFIED * rounding[name]) for name in doubtful}
            if not _beyond(errors, allowed):
                break
    output = max(errors, key=lambda name: errors[name] / allowed[name], default="")
    worst, tolerance = errors.get(output, 0.0), allowed.get(output, 0.0)
    status = "equal" if worst <= tolerance else "different"
    return Equivalence(status, worst, tolerance, change, output)


def _errors(
    expected: Sequence[Outputs], found: Sequence[Outputs], before: Sequence[Outputs]
) -> dict[str, float]:
    """The largest error of each output over all feeds."""
    worst: dict[str, float] = {}
    for errors in map(errors_of, expected, found, before):
        worst |= {name: max(error, worst.get(name, 0.0)) for name, error in errors.items()}
    return worst


def _beyond(errors: Mapping[str, float], allowed: Mapping[str, float]) -> list[str]:
    return [name for name, error in errors.items() if not error <= allowed[name]]


def _roundings(
    model: ir.Model, feeds: Sequence[Feeds], expected: Sequence[Outputs], before: Sequence[Outputs]
) -> Iterator[dict[str, float]]:
    """How far rounding alone moves each output of `model`, measured again and again."""
    yield _errors(expected, run_all(model, feeds, optimise=True), before)
    for again in jittered_outputs(model, feeds):
        yield _errors(expected, again, before)


def _comparable(masked: Outputs, original: Outputs) -> Outputs:
    """The masked outputs without the infinities that masking made (removed words): they say nothing."""
    return {n: _without_made(a, original[n]) for n, a in masked.items()}


def _without_made(array: NDArray[Any], original: NDArray[Any]) -> NDArray[Any]:
    """The same for one output; one whose length depends on the data may have another shape altogether."""
    if array.dtype.kind != "f" or array.shape != original.shape:
        return array
    return np.where(np.isneginf(array) & np.isfinite(original), original, array)


def tolerance_for(array: NDArray[Any]) -> float:
    """Allowed relative error for an output of this type."""
    if not is_real(array):
        return _WHOLE_NUMBERS
    return TOLERANCES.get(np.dtype(array.dtype).name, TOLERANCES["bfloat16"])
