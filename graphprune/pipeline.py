"""The way through the house: load, normalise, analyse, score, allocate, repair; and on in `finish`.

Each stage hands on one immutable value; only `rewrite` makes a new graph, and the input is never touched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import onnx
import onnx_ir as ir

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
    candidates_for,
    choose_parts,
    decide,
    measure_machine,
    needs_machine,
)
from graphprune.errors import ModelError, RuntimeMissingError, VerificationError
from graphprune.finish import carry_out
from graphprune.inputs import (
    Inputs,
    Wanted,
    chosen_by_data,
    looked_up,
    prepare_inputs,
    single_threaded,
    timing_feeds,
)
from graphprune.load import Source, check_output, load
from graphprune.normalise import normalise
from graphprune.passes import Repair, Scores
from graphprune.plan import Plan, fingerprint, keeps_of, make_plan
from graphprune.run import Clock, Run, Settings
from graphprune.runtime.environment import environment
from graphprune.runtime.ort import onnxruntime
from graphprune.runtime.providers import CPU, choose_providers
from graphprune.runtime.seeds import check_seed
from graphprune.statistics.rotation import rotated
from graphprune.validate import blamed_on_model

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


def analyse_source(
    what: Any, seed: int = 0, progress: Callable[[str], None] = lambda _: None, wanted: Wanted | None = None
) -> tuple[Source, ir.Model, Analysis]:
    """Load, normalise and analyse anything that `load` reads, at the sizes of inputs that are given."""
    wanted = Wanted() if wanted is None else wanted
    check_seed(seed)
    check_request(wanted.calibration, wanted.samples, wanted.preprocessing)
    progress("load")
    source = load(what)
    return source, *_normal(source, seed, wanted, progress)


def _normal(
    source: Source, seed: int, wanted: Wanted, progress: Callable[[str], None]
) -> tuple[ir.Model, Analysis]:
    """A normalised model and its analysis, by what the inputs that are given tell."""
    with blamed_on_model(source.model):
        progress("normalise")
        normal = normalise(source.model)
        progress("analyse")
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
        clock: Clock,
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
        self,
        options: Options,
        say: Callable[[str], None] = lambda _: None,
        provider: str = "cpu",
        detail: Callable[[str], None] = lambda _: None,
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
                detail,
            )
        self._scores = decision.scores
        return decision

    def prune(self, options: Options, settings: Settings) -> Run:
        """Decide, repair and carry out."""
        clock = Clock(settings.progress, self._seconds)
        settings = self._settings(settings)
        decision = self.decide(options, clock.start, settings.provider, settings.detail)
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
    clock = Clock(settings.progress)
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
    normal: ir.Model, analysis: Analysis, settings: Settings, seed: int, clock: Clock, compensation: str
) -> Inputs:
    clock.start("calibrate")
    wanted, repair = settings.wanted, compensation != "none"
    return prepare_inputs(normal, analysis, wanted, seed, repair, settings.detail)


def _judging(normal: ir.Model, analysis: Analysis, wanted: Wanted, clock: Clock) -> Calibration | None:
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


def _repair_and_carry_out(run: Run, compensation: str, seed: int, clock: Clock) -> Run:
    """Repair and finish; without the repair where it makes a network magnify rounding beyond measure."""
    if not run.cuts:
        return carry_out(_untouched(run), clock, seed)
    before, decision, warnings = run.normal, run.decision, list(run.warnings)
    _repair(run, compensation, seed, clock)
    repaired = run.repair
    try:
        return carry_out(run, clock, seed)
    except VerificationError as error:
        if not repaired.weights:
            raise
        run.normal, run.decision, run.repair = before, decision, Repair()
        run.warnings = [*warnings, f"nothing was repaired, because the repaired model is not stable: {error}"]
        return carry_out(run, clock, seed)


def _untouched(run: Run) -> Run:
    """The same on the weights that the model came with: where nothing goes, nothing is to be made up for."""
    if run.inputs is not None and run.inputs.unturned is not None:
        run.normal, run.analysis = run.inputs.unturned
    return run


def _repair(run: Run, compensation: str, seed: int, clock: Clock) -> None:
    """Give the weights that remain new values, and say what is to be known of the inputs."""
    inputs, keeps = run.inputs, run.decision.keeps
    if inputs is None or not keeps:
        return
    if compensation != "none":
        _refit(run, inputs, compensation, seed, clock)
    parts = run.decision.parts
    run.warnings += inputs.warnings(run.repair, keeps if parts and parts.scores_by_inputs else {})


def _refit(run: Run, inputs: Inputs, compensation: str, seed: int, clock: Clock) -> None:
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


def run_plan(what: Any, plan: Plan, settings: Settings, seed: int = 0) -> Run:
    """Prune a model exactly as a plan says.

    Where the plan was made with a repair, that is repeated too, on the inputs the plan names or on others
    that are given.

    Raises:
        PlanError: the plan does not fit the model.
        CalibrationError: the inputs it names are not there any more.
    """
    clock = Clock(settings.progress)
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
    notes = [] if given is None else [*given.notes]
    if not repair and (basis := plan.repair.get("basis")):
        notes.append(
            f"the plan's slots were chosen after the change of basis {basis}, which was not made here"
        )
    run = Run(source, settings, normal, analysis, decision, plan, inputs=inputs, given=given, warnings=notes)
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


def _analysed(what: Any, seed: int, settings: Settings, clock: Clock) -> tuple[Source, ir.Model, Analysis]:
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
    return source, *_normal(source, seed, settings.wanted, clock.start)


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


def versions() -> dict[str, str]:
    """Versions of the stack, for plans and reports."""
    return {**environment().packages, "onnx opset": str(onnx.defs.onnx_opset_version())}
