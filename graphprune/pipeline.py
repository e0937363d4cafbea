"""The way through the house: load, normalise, analyse, score, allocate, rewrite, validate, benchmark, report.

Each stage hands on one immutable value; only `rewrite` makes a new graph, and the input is never touched.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.cost import CostModel
from graphprune.analysis.prepare import prepare_normal
from graphprune.calibrate import Calibration, check_request, is_noise, load_calibration
from graphprune.compensate import with_weights
from graphprune.decide import (
    Candidates,
    Decision,
    Machine,
    Options,
    Parts,
    Target,
    candidates_for,
    choose_parts,
    decide,
    measure_machine,
    needs_machine,
)
from graphprune.errors import ModelError, RuntimeMissingError, VerificationError
from graphprune.inputs import (
    UNLEARNT,
    Inputs,
    Wanted,
    chosen_by_data,
    looked_up,
    prepare_inputs,
    single_threaded,
)
from graphprune.load import Source, Staging, check_output, load, save
from graphprune.normalise import normalise, reshare
from graphprune.passes import Repair, Scores
from graphprune.plan import Plan, fingerprint, keeps_of, make_plan
from graphprune.rewrite import rewrite
from graphprune.runtime.environment import environment
from graphprune.runtime.latency import interleaved, median
from graphprune.runtime.ort import onnxruntime
from graphprune.runtime.providers import CPU, choose_providers
from graphprune.runtime.seeds import check_seed
from graphprune.runtime.session import open_session
from graphprune.statistics import drop_zero_biases
from graphprune.statistics.rotation import rotated
from graphprune.validate import (
    Equivalence,
    Fidelity,
    blamed_on_model,
    check_contract,
    check_equivalence,
    check_file,
    measure_fidelity,
)
from graphprune.validate.compare import Outputs
from graphprune.validate.equivalence import run_all, test_feeds

_log = logging.getLogger(__name__)
STAGES = (
    "load",
    "normalise",
    "analyse",
    "calibrate",
    "measure",
    "score",
    "allocate",
    "repair",
    "rewrite",
    "validate",
    "benchmark",
    "write",
)


Found = TypeVar("Found")

_UNFORESEEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)
# From here on, inputs are not made up unasked: many minutes of work, or weights beyond memory.
_LARGE_BYTES = 1_500_000_000
_LARGE_MACS = 40_000_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What to do around the decision.

    Attributes:
        output: where the model goes; None to keep it in memory.
        force: overwrite the input if the output is the same file.
        verify: run mask equivalence and fidelity.
        benchmark: measure latency.
        dry_run: find out everything, but write no model.
        progress: told the name of each stage as it starts.
        detail: told how far a long stage is.
        wanted: inputs to learn from.
        repair: repair what is left, where a plan says how.
        provider: execution providers to measure latency on, by comma; everything else runs on the CPU.
        beside: given the run when the model is complete and has no name yet; may add files to it.
    """

    output: Path | None = None
    force: bool = False
    verify: bool = True
    benchmark: bool = True
    dry_run: bool = False
    progress: Callable[[str], None] = lambda _: None
    detail: Callable[[str], None] = lambda _: None
    wanted: Wanted = field(default_factory=Wanted)
    repair: bool = True
    provider: str = "cpu"
    beside: Callable[[Run, Staging], None] = lambda _run, _files: None

    def held(self) -> Settings:
        """The same, with inputs that can be read more than once."""
        return replace(self, wanted=self.wanted.held())


@dataclass(slots=True)
class Run:
    """What one run has found out; filled stage by stage, read by the report."""

    source: Source
    settings: Settings
    normal: ir.Model
    analysis: Analysis
    decision: Decision
    plan: Plan
    pruned: ir.Model | None = None
    equivalence: Equivalence = field(default_factory=lambda: Equivalence("not checked", note="--no-verify"))
    fidelity: tuple[Fidelity, ...] = ()
    latency_ms: dict[str, float] = field(default_factory=dict)
    timed_on: str = ""
    asked: tuple[Target, ...] = ()
    size_bytes: int | None = None
    inputs: Inputs | None = None
    given: Calibration | None = None  # what only judges
    repair: Repair = field(default_factory=Repair)
    judged_on: str = "random inputs"
    warnings: list[str] = field(default_factory=list)
    quality: Mapping[str, Any] | None = None  # what a search has found, see `graphprune.search`
    seconds: dict[str, float] = field(default_factory=dict)


class _Clock:
    """Times the stages and tells the user which one runs."""

    def __init__(self, progress: Callable[[str], None], seconds: dict[str, float] | None = None) -> None:
        self._progress = progress
        self._stage, self._start = "", 0.0
        self.seconds: dict[str, float] = {} if seconds is None else seconds

    def start(self, stage: str) -> None:
        self.stop()
        self._stage, self._start = stage, time.perf_counter()
        self._progress(stage)

    def stop(self) -> None:
        if self._stage:
            passed = time.perf_counter() - self._start
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + passed
            _log.info("%s took %.2f s", self._stage, passed)
        self._stage = ""


def analyse_source(
    what: Any, seed: int = 0, progress: Callable[[str], None] = lambda _: None, wanted: Wanted | None = None
) -> tuple[Source, ir.Model, Analysis]:
    """Load, normalise and analyse anything that `load` reads, at the sizes of inputs that are given."""
    check_seed(seed)
    if wanted is not None:
        check_request(wanted.calibration, wanted.samples, wanted.preprocessing)
    progress("load")
    source = load(what)
    with blamed_on_model(source.model):
        progress("normalise")
        normal = normalise(source.model)
        progress("analyse")
        return source, *_prepared_for(normal, seed, Wanted() if wanted is None else wanted)


def _prepared_for(normal: ir.Model, seed: int, wanted: Wanted) -> tuple[ir.Model, Analysis]:
    """A normalised model and its analysis, by what the inputs that are given tell."""
    return prepare_normal(normal, seed, wanted.sizes(normal), partial(wanted.examples, normal))


def turn_streams(
    what: Any, wanted: Wanted, seed: int = 0, progress: Callable[[str], None] = lambda _: None
) -> tuple[Source, ir.Model]:
    """The same model with its residual streams in their principal components.

    Raises:
        ModelError: there are none that can be turned.
        CalibrationError: the inputs cannot be read or do not fit.
    """
    check_request(wanted.calibration, wanted.samples, wanted.preprocessing)
    source, normal, analysis = analyse_source(what, seed, progress)
    progress("calibrate")
    calibration = load_calibration(
        wanted.calibration,
        normal,
        analysis.recording,
        samples=wanted.samples,
        preprocessing=wanted.preprocessing,
        seed=seed,
    )
    turned = rotated(normal, analysis.recording.shapes, calibration.batches)
    if turned is None:
        raise ModelError(
            "no residual stream can be turned: that takes additions that are read through norms alone, "
            "as in transformers with the norm before each layer"
        )
    return source, turned


def run_pipeline(what: Any, options: Options, settings: Settings) -> Run:
    """Prune a model as the options say.

    Raises:
        GraphPruneError: see `graphprune.errors`.
    """
    settings = settings.held()
    return on_bench(what, options, settings, lambda bench: bench.prune(options, settings))


class Workbench:
    """A model made ready once, to be pruned to one budget after another.

    Attributes:
        source, normal, analysis: of the model.
        parts: the passes that decide.
        inputs: what is known of its activations, if the parts ask for them.
        given: inputs that a user gave although the parts learn nothing from them; they judge the result.
        structure: the fingerprint of the model.
    """

    def __init__(
        self,
        source: Source,
        normal: ir.Model,
        analysis: Analysis,
        options: Options,
        parts: Parts,
        settings: Settings,
        clock: _Clock,
    ) -> None:
        """Collect what the parts need to know."""
        self.source, self.parts, self.structure = source, parts, fingerprint(analysis.facts)
        self._seconds = clock.seconds
        self._overhead = max(0, source.size_bytes - CostModel(analysis).cost().weight_bytes)
        self._scores: Scores | None = None
        self._machine: Machine | None = None
        self.inputs: Inputs | None = None
        self.given: Calibration | None = None
        if parts.needs_inputs:
            _check_something_to_cut(analysis, candidates_for(analysis, options))
            self.inputs = _prepared(
                normal, analysis, self._settings(settings), options.seed, clock, parts.compensation
            )
            normal, analysis = self.inputs.model, self.inputs.analysis
        elif analysis.recording.method == "run":
            self.given = _judging(normal, analysis, settings.wanted, clock)
        clock.stop()
        self.normal, self.analysis = normal, analysis

    def decide(
        self, options: Options, say: Callable[[str], None] = lambda _: None, provider: str = "cpu"
    ) -> Decision:
        """The slots to keep; scores are made the first time, and so is what must be measured."""
        if needs_machine(options) and self._machine is None:
            say("measure")
            self._machine = _measured(self.normal, self.analysis, self.inputs, options, provider)
        with single_threaded():
            decision = decide(
                self.analysis,
                options,
                self._overhead,
                say,
                None if self.inputs is None else self.inputs.statistics,
                self.parts,
                self._scores,
                self._machine,
            )
        self._scores = decision.scores
        return decision

    def prune(self, options: Options, settings: Settings) -> Run:
        """Decide, repair and carry out."""
        clock = _Clock(settings.progress, self._seconds)
        settings = self._settings(settings)
        decision = self.decide(options, clock.start, settings.provider)
        _check_something_to_cut(self.analysis, decision.candidates)
        plan = make_plan(
            self.analysis,
            decision,
            options,
            environment().packages,
            self.structure,
            None if self.inputs is None else settings.wanted.as_data,
        )
        run = Run(
            self.source,
            settings,
            self.normal,
            self.analysis,
            decision,
            plan,
            inputs=self.inputs,
            given=self.given,
            asked=options.targets,
            warnings=[*self._notes()],
        )
        return _repair_and_carry_out(run, self.parts.compensation, options.seed, clock)

    def _notes(self) -> tuple[str, ...]:
        """What the user should know about the inputs."""
        if self.inputs is not None:
            return self.inputs.notes
        return () if self.given is None else self.given.notes

    def _settings(self, settings: Settings) -> Settings:
        if not self.parts.needs_inputs:
            return settings
        return replace(
            settings, wanted=replace(settings.wanted, noise=self.parts.noise, basis=self.parts.basis)
        )


def on_bench(what: Any, options: Options, settings: Settings, use: Callable[[Workbench], Found]) -> Found:
    """Make a model ready and do something with it.

    Raises:
        GraphPruneError: see `graphprune.errors`.
    """
    clock = _Clock(settings.progress)
    source, normal, analysis = _analysed(what, options.seed, settings, clock)
    parts = choose_parts(options, _obstacle(analysis, settings))
    with blamed_on_model(source.model):
        try:
            return use(Workbench(source, normal, analysis, options, parts, settings, clock))
        except (ModelError, *_UNFORESEEN) as error:
            # Nobody asked for activations: a model that does not run on what was made up for it, or of a
            # form that following them did not expect, is still pruned.
            if isinstance(error, ModelError) and settings.wanted.calibration is not None:
                raise
            plain = choose_parts(options, _why_plain(error))
            if parts == plain or not parts.needs_inputs or plain.needs_inputs:
                raise
            return use(Workbench(source, normal, analysis, options, plain, settings, clock))


def _why_plain(error: Exception) -> str:
    if isinstance(error, ModelError):
        return f"{error} (inputs were made up: give real ones with --calib)"
    return f"following the activations failed ({error!r}), which should be reported"


def _obstacle(analysis: Analysis, settings: Settings) -> str:
    """Why the default recipe should not look at activations, or ""."""
    if analysis.recording.method != "run":
        return f"the model cannot be run ({analysis.recording.note})"
    if settings.wanted.calibration is not None:
        return ""
    cost = CostModel(analysis).cost()
    if cost.weight_bytes > _LARGE_BYTES or cost.macs > _LARGE_MACS:
        return "running a model of this size on made-up inputs takes long; give --calib, or --recipe auto"
    return ""


def _prepared(
    normal: ir.Model, analysis: Analysis, settings: Settings, seed: int, clock: _Clock, compensation: str
) -> Inputs:
    clock.start("calibrate")
    return prepare_inputs(normal, analysis, settings.wanted, seed, compensation != "none")


def _judging(normal: ir.Model, analysis: Analysis, wanted: Wanted, clock: _Clock) -> Calibration | None:
    """Inputs that a user gave where nothing is learnt from any; None if there are none."""
    what = wanted.calibration
    if what is None or is_noise(what):
        return None
    clock.start("calibrate")
    return load_calibration(
        what, normal, analysis.recording, samples=wanted.samples, preprocessing=wanted.preprocessing
    )


def _measured(
    normal: ir.Model,
    analysis: Analysis,
    inputs: Inputs | None,
    options: Options,
    provider: str,
) -> Machine:
    """What options want to know of the machine."""
    runs = analysis.recording.method == "run"
    if not runs and any(t.measure == "latency" for t in options.targets):
        raise ModelError(f"this model cannot be timed, so set another target: {analysis.recording.note}")
    feeds = timing_feeds(analysis, inputs) if runs and options.targets else None
    return measure_machine(normal, analysis, feeds, provider)


def timing_feeds(analysis: Analysis, inputs: Inputs | None) -> Mapping[str, NDArray[Any]]:
    """What a model is timed on: a batch of the given inputs, else what shapes were recorded with."""
    if inputs is None or inputs.calibration.synthetic:
        return analysis.recording.feeds
    return inputs.calibration.batches[0]


def _repair_and_carry_out(run: Run, compensation: str, seed: int, clock: _Clock) -> Run:
    """Repair and finish; without the repair where it makes a network magnify rounding beyond measure."""
    before, decision, warnings = run.normal, run.decision, list(run.warnings)
    _repair(run, compensation, seed, clock)
    repaired = run.repair
    try:
        return _carry_out(run, clock, seed)
    except VerificationError as error:
        if not repaired.weights:
            raise
        run.normal, run.decision, run.repair = before, decision, Repair()
        run.warnings = [*warnings, f"nothing was repaired, because the repaired model is not stable: {error}"]
        return _carry_out(run, clock, seed)


def _repair(run: Run, compensation: str, seed: int, clock: _Clock) -> None:
    """Give the weights that remain new values."""
    inputs = run.inputs
    if inputs is None or not run.decision.keeps or compensation == "none":
        return
    run.warnings += inputs.unreached(run.decision.keeps)
    if named := looked_up(run.analysis, run.decision.keeps):
        run.warnings.append(f"nothing was repaired: inputs choose from {named}, of which some are gone")
        return
    clock.start("repair")
    chosen, settings = chosen_by_data(run.analysis, run.decision.keeps), run.settings
    memory = settings.wanted.memory
    run.repair = inputs.repair(run.decision.keeps, compensation, memory, seed, settings.detail, chosen)
    if chosen:
        done = "the network was repaired as a whole only" if run.repair.weights else "nothing was repaired"
        run.warnings.append(
            f"{done}: {chosen} are chosen by the data, so other rows reach the operators behind"
        )
    run.normal = with_weights(run.normal, run.repair.weights)
    run.warnings += inputs.warnings(run.repair)


def run_plan(what: Any, plan: Plan, settings: Settings, seed: int = 0) -> Run:
    """Prune a model exactly as a plan says.

    Where the plan was made with a repair, that is repeated too, on the inputs the plan names or on others
    that are given.

    Raises:
        PlanError: the plan does not fit the model.
        CalibrationError: the inputs it names are not there any more.
    """
    clock = _Clock(settings.progress)
    settings = _planned(settings, plan).held() if settings.repair and plan.repair else settings.held()
    source, normal, analysis = _analysed(what, seed, settings, clock)
    keeps = keeps_of(plan, analysis)
    inputs = given = None
    repair = plan.repair if settings.repair and analysis.recording.method == "run" else {}
    if not repair and analysis.recording.method == "run":
        given = _judging(normal, analysis, settings.wanted, clock)
    if repair:
        seed = int(repair.get("seed", seed))
        inputs = _prepared(normal, analysis, settings, seed, clock, str(repair["compensation"]))
        normal, analysis = inputs.model, inputs.analysis
        keeps = keeps_of(replace(plan, fingerprint=fingerprint(analysis.facts)), analysis)
    costs = CostModel(analysis)
    after = costs.cost({a: s.count for a, s in keeps.items()})
    groups = tuple(g for g in analysis.by_atom.values() if g.atom in keeps)
    decision = Decision(keeps, Candidates(groups, plan.reasons), {}, 0.0, costs.original(), after)
    notes = () if given is None else given.notes
    run = Run(
        source, settings, normal, analysis, decision, plan, inputs=inputs, given=given, warnings=[*notes]
    )
    with blamed_on_model(source.model):
        return _repair_and_carry_out(run, str(repair.get("compensation", "none")), seed, clock)


def _planned(settings: Settings, plan: Plan) -> Settings:
    """Settings with the inputs that a plan was made with, unless others are given."""
    wanted = replace(
        settings.wanted,
        noise=str(plan.repair.get("noise", "auto")),
        basis=str(plan.repair.get("basis", "")),
    )
    if wanted.calibration is None:
        kept = ("calibration", "samples", "preprocessing", "aside")
        wanted = replace(wanted, **{k: v for k, v in plan.repair.items() if k in kept})
    return replace(settings, wanted=wanted)


def _analysed(what: Any, seed: int, settings: Settings, clock: _Clock) -> tuple[Source, ir.Model, Analysis]:
    check_seed(seed)
    _check_settings(settings)
    if settings.verify and not settings.dry_run:
        onnxruntime()  # if it is missing, say so before the work
    if settings.output is not None and not isinstance(what, str | os.PathLike):
        check_output(settings.output, None, settings.force)
    clock.start("load")
    source = load(what)
    if settings.output is not None:
        check_output(settings.output, source, settings.force)
    with blamed_on_model(source.model):
        clock.start("normalise")
        normal = normalise(source.model)
        clock.start("analyse")
        return source, *_prepared_for(normal, seed, settings.wanted)


def _check_settings(settings: Settings) -> None:
    """Find out before the work what is asked for in vain, even where nobody will look at it."""
    wanted = settings.wanted
    check_request(wanted.calibration, wanted.samples, wanted.preprocessing)
    if settings.provider == CPU:
        return  # that is there without the runtime too
    with contextlib.suppress(*(() if settings.benchmark else (RuntimeMissingError,))):
        choose_providers(settings.provider)


def _check_something_to_cut(analysis: Analysis, candidates: Candidates) -> None:
    if candidates.groups:
        return
    if not analysis.groups:
        raise ModelError("nothing to prune: the model has no weights with a dimension of its own")
    if analysis.recording.method != "run":  # then reasons are but sizes that nobody knows
        raise ModelError(
            f"nothing to prune: none of the {len(analysis.groups)} dimensions of the weights can be cut, "
            f"because {analysis.recording.note}"
        )
    counts: dict[str, int] = {}
    for reason in candidates.reasons.values():
        counts[reason] = counts.get(reason, 0) + 1
    worst = sorted(counts, key=lambda r: -counts[r])[:3]
    raise ModelError(
        f"nothing to prune: none of the {len(analysis.groups)} dimensions of the weights can be cut "
        f"({'; '.join(worst)}): see `graphprune inspect`"
    )


def _carry_out(run: Run, clock: _Clock, seed: int) -> Run:
    """Rewrite, validate, benchmark, write."""
    settings = run.settings
    run.warnings += list(run.source.notes)
    if settings.dry_run and run.inputs is None:
        clock.stop()
        run.seconds = clock.seconds
        return run
    clock.start("rewrite")
    pruned = rewrite(run.normal, run.analysis, run.decision.keeps)
    if run.inputs is not None:
        dropped = drop_zero_biases(pruned, run.inputs.opened)
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
    if share > 0.95:
        run.warnings.append(
            f"the result is not faster on this machine ({times['before']:.2f} ms before, "
            f"{times['after']:.2f} ms after): widths off the kernels' block cost time, try --round-to auto; "
            "`graphprune bench` says where the time goes"
        )


def versions() -> dict[str, str]:
    """Versions of the stack, for plans and reports."""
    return {**environment().packages, "onnx opset": str(onnx.defs.onnx_opset_version())}
