"""`verify`: everything that can be shown about a pruned file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from graphprune.analysis import Analysis
from graphprune.calibrate import Calibration, load_calibration
from graphprune.consumers import choose_consumers
from graphprune.errors import ModelError
from graphprune.inputs import Wanted
from graphprune.load import Source, load, save
from graphprune.pipeline import analyse_source
from graphprune.plan import Plan
from graphprune.runtime.environment import environment
from graphprune.runtime.ort import onnxruntime
from graphprune.validate import Equivalence, Fidelity, check_contract, check_file, measure_fidelity
from graphprune.validate.compare import Outputs, is_real, largest_error
from graphprune.validate.equivalence import run_all
from graphprune.verification.proof import Proof, prove_by_weights, prove_with_plan
from graphprune.verification.trials import ConsumerResult, Reference, try_consumers
from graphprune.version import __version__

FORMAT = 1
_MADE_UP = 64  # inputs, where none are given
_BATCHES_FOR_CONSUMERS = 2


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    Attributes:
        original, pruned: the files, or None for objects in memory.
        contract: what differs between inputs and outputs, one sentence each.
        checker: what ONNX's checker complains of in the pruned model alone, or "".
        proof: mask equivalence.
        fidelity: agreement with the original, one entry for each real-valued output.
        judged_on: the inputs that was measured on, in words.
        samples: how many those are.
        consumers: what other programs made of it.
        warnings: sentences for the user.
    """

    original: str | None
    pruned: str | None
    contract: tuple[str, ...]
    checker: str
    proof: Proof
    fidelity: tuple[Fidelity, ...]
    judged_on: str
    samples: int
    consumers: tuple[ConsumerResult, ...]
    warnings: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """The first thing that makes this no pruned form of the original, or ""."""
        if self.contract:
            return f"the interface of the model changed: {self.contract[0]}"
        if self.checker:
            return f"ONNX's checker refuses the pruned model, but not the original: {self.checker}"
        e = self.proof.equivalence
        if not e.failed:
            return ""
        if e.error == float("inf") or not e.output:
            return f"the pruned model is not {self.proof.reference}: {e.note or 'shapes differ'}"
        what = f'output "{e.output}" differs by {e.error:.2g} (allowed {e.tolerance:.2g})'
        return f"the pruned model is not {self.proof.reference}: {what}{'; ' + e.note if e.note else ''}"

    @property
    def passed(self) -> bool:
        """True if nothing speaks against it; what could not be checked does not."""
        return not self.complaint

    def as_data(self) -> dict[str, Any]:
        """As JSON-ready data, described in docs/verify.md."""
        equivalence = asdict(self.proof.equivalence)
        if equivalence["error"] == float("inf"):
            equivalence["error"] = None
        return {
            "format": FORMAT,
            "graphprune": __version__,
            "original": self.original,
            "pruned": self.pruned,
            "passed": self.passed,
            "complaint": self.complaint,
            "contract": list(self.contract),
            "checker": self.checker,
            "equivalence": equivalence,
            "reference": self.proof.reference,
            "kept_from": self.proof.kept_from,
            "fidelity": [asdict(f) for f in self.fidelity],
            "judged_on": self.judged_on,
            "samples": self.samples,
            "consumers": [asdict(c) for c in self.consumers],
            "warnings": list(self.warnings),
            "packages": dict(environment().packages),
        }


def verify_files(
    original: Any,
    pruned: Any,
    plan: Plan | None = None,
    *,
    wanted: Wanted | None = None,
    own_weights: bool = False,
    consumers: str | Sequence[str] = "all",
    consumer_limit_s: float = 300.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Hold a pruned model against the original.

    Args:
        original: anything that `load` reads.
        pruned: the same, or a file that was made of it.
        plan: the plan it was made by.
        wanted: inputs for the comparison of outputs.
        own_weights: compare with the original network that has the pruned model's weights.
        consumers: programs to try, by name; "all" or "none".
        consumer_limit_s: seconds for each.
        seed: of everything random.
        progress: told the name of each stage as it starts.

    Raises:
        GraphPruneError: a model, the plan or the inputs cannot be read, or do not belong together.
    """
    onnxruntime()
    wanted = (wanted or Wanted()).held()
    chosen = choose_consumers(consumers)
    other = load(pruned)
    source, normal, analysis = analyse_source(original, seed, progress, wanted)
    warnings = list(other.notes)
    calibration, said = _inputs(normal, analysis, wanted, seed)
    with _on_disk(source) as before, _on_disk(other) as after:
        progress("contract")
        contract = check_contract(source.model, other.model)
        checker = check_file(after)
        if checker and (known := check_file(before)):
            warnings.append(f"ONNX's checker refuses the original model already: {known}")
            checker = ""
        progress("equivalence")
        proof = Proof(Equivalence("not checked", note="the interface of the model changed"))
        if not contract and plan is not None:
            proof = prove_with_plan(
                original,
                normal,
                analysis,
                other.model,
                plan,
                own_weights=own_weights,
                wanted=wanted,
                seed=seed,
            )
        elif not contract:
            proof = prove_by_weights(normal, analysis, other.model, seed=seed)
        progress("fidelity")
        old, new, why = _outputs(source, other, calibration, comparable=not contract)
        warnings += [why] if why else []
        fidelity = measure_fidelity(old, new) if old and new else ()
        warnings += _uncompared(old, new, fidelity)
        warnings += () if calibration is None else calibration.notes
        progress("consumers")
        results: tuple[ConsumerResult, ...] = ()
        if chosen and new and calibration is not None:
            batches = calibration.batches[:_BATCHES_FOR_CONSUMERS]
            results = try_consumers(
                chosen,
                _reference(after, other.model, new, batches),
                _reference(before, source.model, old, batches) if old else None,
                batches,
                consumer_limit_s,
                progress,
            )
    return Verification(
        None if source.path is None else str(source.path),
        None if other.path is None else str(other.path),
        contract,
        checker,
        proof,
        fidelity,
        said,
        0 if calibration is None else calibration.samples,
        results,
        tuple(warnings),
    )


def _inputs(
    normal: ir.Model, analysis: Analysis, wanted: Wanted, seed: int
) -> tuple[Calibration | None, str]:
    """What outputs are compared on, and what that is in words."""
    given = wanted.calibration is not None
    samples = wanted.samples if given else wanted.samples or _MADE_UP
    try:
        found = load_calibration(
            wanted.calibration if given else wanted.made_up,
            normal,
            analysis.recording,
            samples=samples,
            preprocessing=wanted.preprocessing,
            seed=seed,
        )
    except ModelError as error:
        return None, f"nothing: {error}"
    return found, f"{found.source}" if given else "made-up inputs"


@contextlib.contextmanager
def _on_disk(source: Source) -> Iterator[Path]:
    """The file of a model, written first where there is none."""
    if source.path is not None:
        yield source.path
        return
    with tempfile.TemporaryDirectory(prefix="graphprune-") as folder:
        path = Path(folder) / "model.onnx"
        save(source.model, path, source=source)
        yield path


def _outputs(
    before: Source, after: Source, calibration: Calibration | None, *, comparable: bool
) -> tuple[list[Outputs], list[Outputs], str]:
    """Outputs of both models on the inputs, and why one has none."""
    if calibration is None or not comparable:
        return [], [], ""
    try:
        new = run_all(after.model, calibration.batches, optimise=True)
    except ModelError as error:
        return [], [], f"the pruned model was not run on the inputs: {error}"
    try:
        return run_all(before.model, calibration.batches, optimise=True), new, ""
    except ModelError as error:
        return [], new, f"agreement with the original was not measured: {error}"


def _uncompared(old: list[Outputs], new: list[Outputs], fidelity: Sequence[Fidelity]) -> list[str]:
    """Outputs that are no real numbers, or whose shape follows from what was computed."""
    if not old or not new:
        return []
    done = {f.output for f in fidelity}
    found = []
    for name, array in old[0].items():
        if name in done:
            continue
        if is_real(array):
            found.append(f'output "{name}" was not compared: its shape differs from the original\'s')
        else:
            worst = max(largest_error({name: o[name]}, n)[0] for o, n in zip(old, new, strict=True))
            share = "another shape" if worst == float("inf") else f"up to {worst:.1%} of its elements differ"
            found.append(f'output "{name}" holds no real numbers: {share}')
    return found


def _reference(path: Path, model: ir.Model, outputs: list[Outputs], batches: Sequence[Outputs]) -> Reference:
    first = outputs[: len(batches)]
    rounding = max(map(largest_error, first, run_all(model, batches)))[0]
    return Reference(path, first, rounding)
