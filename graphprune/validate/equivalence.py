"""Mask equivalence: the pruned model gives what the original gives with the removed weights at zero.

Random inputs at two sizes of every free dimension go through ONNX Runtime, the pruned model as users will
run it, with all optimisations. The tolerance is that of the element type. Where they differ by more, both
are run without optimisations (fused quantised kernels round in their own way), and where a network magnifies
rounding itself, that is measured (the masked model with and without optimisations) and the error must not
exceed ten times as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from graphprune.validate.compare import Outputs, is_real, largest_error

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
        error: largest relative error over all outputs and runs.
        tolerance: what was allowed.
        change: how much masking moved the outputs; near zero the check has little to see.
        output: the output with the largest error.
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


def test_feeds(model: ir.Model, analysis: Analysis, seed: int) -> list[Feeds]:
    """Random inputs at the recorded sizes, and at the second ones if any dimension is free."""
    recording = analysis.recording
    sizes = [recording.sizes]
    if dict(recording.sizes_second) != dict(recording.sizes):
        sizes.append(recording.sizes_second)
    return [random_feeds(model, s, seed + 1 + k) for k, s in enumerate(sizes)]


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
) -> Equivalence:
    """Compare `pruned` with the masked `model`.

    Args:
        model: the normalised model that was analysed.
        analysis: its analysis.
        keeps: kept slots by atom id.
        pruned: the rewritten model.
        seed: of the random inputs.
        reference: outputs of `model` for `test_feeds`, if at hand.
    """
    inexact = [g.key for g in analysis.groups if g.atom in keeps and g.approximate]
    if inexact:
        return Equivalence(
            "not checked", note=f"{len(inexact)} groups were cut that can only be cut approximately"
        )
    if analysis.recording.method != "run":
        return Equivalence("not checked", note=analysis.recording.note)
    try:
        feeds = test_feeds(model, analysis, seed)
        before = reference if reference is not None else run_all(model, feeds)
        zeroed = masked(model, analysis, keeps)
        expected = run_all(zeroed, feeds)
    except (ModelError, RuntimeMissingError) as error:
        return Equivalence("not checked", note=str(error))
    try:
        found = run_all(pruned, feeds, optimise=True)
    except ModelError as error:
        return Equivalence("different", float("inf"), 0.0, 0.0, "", f"the pruned model does not run: {error}")
    worst, output = max(map(largest_error, expected, found, before))
    change = max(largest_error(e, _comparable(f, e))[0] for e, f in zip(before, expected, strict=True))
    tolerance = tolerance_for(expected[0][output]) if output else 0.0
    if tolerance < worst:  # judge both without the runtime's optimisations, which round differently
        found = run_all(pruned, feeds)
        worst, output = max(map(largest_error, expected, found, before))
    if tolerance < worst < _HOPELESS:
        again = run_all(zeroed, feeds, optimise=True)
        rounding = max(map(largest_error, expected, again, before))[0]
        tolerance = max(tolerance, _MAGNIFIED * rounding)
    status = "equal" if worst <= tolerance else "different"
    note = "masking hardly moved the outputs: the check had little to see" if change < 1e-6 and keeps else ""
    return Equivalence(status, worst, tolerance, change, output, note)


def _comparable(masked: Outputs, original: Outputs) -> Outputs:
    """The masked outputs without the infinities that masking made (removed words): they say nothing."""
    return {
        n: np.where(np.isneginf(a) & np.isfinite(original[n]), original[n], a) if a.dtype.kind == "f" else a
        for n, a in masked.items()
    }


def tolerance_for(array: NDArray[Any]) -> float:
    """Allowed relative error for an output of this type."""
    if not is_real(array):
        return _WHOLE_NUMBERS
    return TOLERANCES.get(np.dtype(array.dtype).name, TOLERANCES["bfloat16"])
