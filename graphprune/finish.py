"""The end of a run: rewrite, validate, benchmark, write."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from graphprune.errors import ModelError, RuntimeMissingError, VerificationError
from graphprune.inputs import UNLEARNT, timing_feeds
from graphprune.load import Staging, save
from graphprune.normalise import reshare
from graphprune.rewrite import rewrite
from graphprune.run import Clock, Run
from graphprune.runtime.latency import interleaved, median
from graphprune.runtime.session import open_session
from graphprune.statistics import close_states, drop_zero_biases
from graphprune.validate import (
    check_contract,
    check_equivalence,
    check_file,
    doubts,
    measure_fidelity,
)
from graphprune.validate.compare import Outputs
from graphprune.validate.equivalence import run_all, test_feeds


def carry_out(run: Run, clock: Clock, seed: int) -> Run:
    """Rewrite, validate, benchmark, write."""
    settings = run.settings
    run.warnings += list(run.source.notes)
    if settings.dry_run and run.inputs is None and run.given is None:  # nothing to judge the result on
        clock.stop()
        run.seconds = clock.seconds
        return run
    clock.start("rewrite")
    pruned = rewrite(run.normal, run.analysis, run.decision.keeps)
    if run.inputs is not None:
        close_states(pruned, run.inputs.states)
        dropped = drop_zero_biases(pruned, run.inputs.opened)
        if not run.decision.keeps:
            dropped = 0  # the original's cost has none of them
        after = run.decision.after
        params, weight_bytes = after.params - dropped, after.weight_bytes - 4 * dropped
        run.decision = replace(run.decision, after=replace(after, params=params, weight_bytes=weight_bytes))
    reshare(pruned)
    run.pruned = pruned
    if broken := check_contract(run.source.model, pruned):
        raise VerificationError(
            f"the interface of the model changed: {'; '.join(broken)}; nothing was written"
        )
    with tempfile.TemporaryDirectory(prefix="graphprune-") as folder:
        trial = Path(folder) / "pruned.onnx"
        run.size_bytes = save(pruned, trial, source=run.source)
        if settings.verify:
            clock.start("validate")
            _validate(run, trial, seed)
        if settings.benchmark and not settings.dry_run:
            clock.start("benchmark")
            _benchmark(run, trial)
        if settings.output is not None and not settings.dry_run:
            clock.start("write")
            run.seconds = clock.seconds
            put_in_place(run, settings.output, clock.stop)
    clock.stop()
    run.seconds = clock.seconds
    return run


def put_in_place(run: Run, output: Path, complete: Callable[[], None] = lambda: None) -> None:
    """Write the pruned model, together with what its settings want beside it.

    Raises:
        OutputError: something cannot be written; then nothing is.
    """
    assert run.pruned is not None

    def beside(size: int, files: Staging) -> None:
        complete()
        run.size_bytes = size
        run.settings.beside(run, files)

    save(run.pruned, output, source=run.source, force=run.settings.force, beside=beside)


# -- validate -----------------------------------------------------------------------------------


def _validate(run: Run, trial: Path, seed: int) -> None:
    assert run.pruned is not None
    if not run.settings.dry_run:
        _check_by_onnx(run, trial)
    given = _deciding(run)
    reference = _reference(run, seed, given)
    if not run.settings.dry_run:
        run.equivalence = check_equivalence(
            run.normal,
            run.analysis,
            run.decision.keeps,
            run.pruned,
            seed=seed,
            reference=reference,
            given=given,
        )
    if run.equivalence.failed:
        e = run.equivalence
        what = e.note or f'output "{e.output}" differs by {e.error:.2g} (allowed {e.tolerance:.2g})'
        raise VerificationError(
            f"the pruned model is not the masked original: {what}; nothing was written. "
            "This is a fault of graphprune: please report it with the plan (--dry-run --plan FILE); "
            "--exclude can leave the layer concerned alone"
        )
    if run.equivalence.status == "not checked" and not run.settings.dry_run:
        run.warnings.append(f"mask equivalence was not checked: {run.equivalence.note}")
    judges, judged_on = _judges(run)
    if judges:
        with contextlib.suppress(ModelError):
            before = run_all(run.source.model, judges, optimise=True)
            run.fidelity = measure_fidelity(before, run_all(run.pruned, judges, optimise=True))
            run.judged_on = judged_on
            made_up = run.inputs is not None and run.inputs.judges_made_up and not run.inputs.by_design
            run.warnings += doubts(run.fidelity, judged_on, made_up)
    elif reference is not None:
        with contextlib.suppress(ModelError):
            after = run_all(run.pruned, test_feeds(run.normal, run.analysis, seed, given))
            run.fidelity = measure_fidelity(reference, after)


def _judges(run: Run) -> tuple[Sequence[Mapping[str, NDArray[Any]]], str]:
    """Inputs to measure the result on, and what they are; none if nobody gave any and none are to spare."""
    if run.inputs is not None:
        return run.inputs.fresh, run.inputs.judged_on
    return (() if run.given is None else run.given.batches), UNLEARNT


def _check_by_onnx(run: Run, trial: Path) -> None:
    """What ONNX's checker says, unless it says the same of the original."""
    complaint = check_file(trial)
    if not complaint:
        return
    if run.source.path is not None:
        known = check_file(run.source.path)
    else:
        with tempfile.TemporaryDirectory(prefix="graphprune-") as folder:
            path = Path(folder) / "original.onnx"
            save(run.source.model, path, source=run.source)
            known = check_file(path)
    if not known:
        raise VerificationError(f"ONNX's checker refuses the pruned model: {complaint}; nothing was written")
    run.warnings.append(f"ONNX's checker refuses the original model already: {known}")


def _deciding(run: Run) -> Sequence[Mapping[str, NDArray[Any]]]:
    """A batch of the inputs that were given, where they may decide which bodies run."""
    inputs = run.inputs
    if inputs is None or inputs.calibration.synthetic or not any(n.bodies for n in run.analysis.facts.nodes):
        return ()
    return inputs.calibration.batches[:1]


def _reference(run: Run, seed: int, given: Sequence[Mapping[str, NDArray[Any]]]) -> Sequence[Outputs] | None:
    """Outputs of the original on the test inputs; None if it cannot run."""
    if run.analysis.recording.method != "run":
        return None
    try:
        return run_all(run.source.model, test_feeds(run.normal, run.analysis, seed, given))
    except (ModelError, RuntimeMissingError):
        return None


# -- benchmark ----------------------------------------------------------------------------------


def _benchmark(run: Run, trial: Path) -> None:
    recording = run.analysis.recording
    if recording.method != "run":
        run.warnings.append(f"latency was not measured: {recording.note}")
        return
    feeds, provider = timing_feeds(run.analysis, run.inputs), run.settings.provider
    original = run.source.path if run.source.path is not None else run.source.model
    with open_session(original, provider=provider) as before, open_session(trial, provider=provider) as after:
        times = median(interleaved({"before": before, "after": after}, feeds, budget_s=3.0))
    run.latency_ms = times
    run.timed_on = ", ".join(f"{name} {'x'.join(map(str, a.shape))}" for name, a in feeds.items())
    share = times["after"] / times["before"]
    for target in (t for t in run.asked if t.measure == "latency" and share > 1.05 * t.limit):
        run.warnings.append(
            f"the measured latency is {share:.2f} of the original's, more than {target.text}: what a cut "
            "saves was estimated from a profile; ask for less, or measure when the machine is idle"
        )
    if share > 0.95 and run.cuts:
        run.warnings.append(
            f"the result is not faster on this machine ({times['before']:.2f} ms before, "
            f"{times['after']:.2f} ms after): widths off the kernels' block cost time, try --round-to auto; "
            "`graphprune bench` says where the time goes"
        )
