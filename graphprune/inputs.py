"""What a run knows of a model's inputs: calibration data, statistics of them, the repair they allow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import onnx_ir as ir
import threadpoolctl
from numpy.typing import NDArray

from graphprune.analysis import Analysis, analyse_model
from graphprune.calibrate import Calibration, Held, given_examples, given_sizes, hold, load_calibration
from graphprune.compensate.basis import in_basis
from graphprune.compensate.impressions import impressed
from graphprune.compensate.trial import with_weights
from graphprune.dims import Keeps
from graphprune.errors import ModelError
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.passes import ONLY, CompensationProblem, Repair, find_pass
from graphprune.rules.effects import Alternatives, Lookup
from graphprune.runtime.dimensions import Sizes
from graphprune.runtime.progress import Progress
from graphprune.runtime.record import record
from graphprune.statistics import (
    ChannelMoments,
    Looked,
    Statistics,
    Twin,
    find_linear,
    make_twin,
    open_biases,
    open_states,
    too_few,
    unit_columns,
    working_memory,
)

UNLEARNT = "the calibration inputs, which nothing was learnt from"
_JUDGED_FROM = 64  # with fewer samples all are needed for the repair
_READ_OTHERWISE = frozenset(
    {"experts", "layers", "vocabulary"}
)  # kinds whose scores and repairs are their own
_ASIDE = 8
_STAGE = "calibrate"
_TWIN_SAMPLES = 256  # that a twin is made on, at most


@dataclass(frozen=True, slots=True)
class Wanted:
    """What inputs to learn from.

    Attributes:
        calibration: in any form that `load_calibration` reads; None to make some up.
        samples: use at most this many of them.
        preprocessing: of pictures.
        memory: bytes of activations and statistics to hold.
        noise: what to make up, see `Recipe.noise`.
        aside: one batch in this many is kept to judge the result, where there are enough.
        basis: a change of basis to make on them, see `Recipe.basis`.
    """

    calibration: Any = None
    samples: int | None = None
    preprocessing: str = ""
    memory: int = 4 << 30
    noise: str = "auto"
    aside: int = _ASIDE
    basis: str = ""

    @property
    def as_data(self) -> dict[str, Any] | None:
        """As plain data for a plan; None if they cannot be named."""
        given = None if self.only_made_up else self.calibration
        given = given.what if isinstance(given, Held) else given
        if given is not None and not isinstance(given, str | os.PathLike):
            return None
        name = None if given is None else os.fspath(given)
        found = {"calibration": name, "samples": self.samples, "preprocessing": self.preprocessing}
        found |= {} if self.aside == _ASIDE else {"aside": self.aside}
        found |= {"basis": self.basis} if self.basis else {}
        return found if self.noise == "auto" else {**found, "noise": self.noise}

    def held(self) -> Wanted:
        """The same, ready to be read more than once."""
        return replace(self, calibration=hold(self.calibration))

    def sizes(self, model: ir.Model) -> tuple[Sizes, ...]:
        """The sizes of a model's free dimensions in the inputs that are given."""
        return given_sizes(self.calibration, model, self.preprocessing, self.samples)

    def examples(self, model: ir.Model) -> tuple[Mapping[str, NDArray[Any]], ...]:
        """Some of the inputs that are given, as feeds of a model."""
        return given_examples(self.calibration, model, self.preprocessing, self.samples)

    @property
    def only_made_up(self) -> bool:
        """Whether inputs that are given only judge the result."""
        return self.noise.startswith(ONLY)

    @property
    def made_up(self) -> str:
        """What to make up, for `load_calibration`."""
        return f"noise:{self.noise.removeprefix(ONLY)}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """A model made ready for repair, and what is known of its activations.

    Attributes:
        calibration: the inputs.
        model: the normalised model, every linear operator with a bias.
        analysis: of that model.
        opened: names of the biases that were added, all zero.
        statistics: of the activations; on made-up inputs, of those of the model's twin.
        twin: the model with channels as they were in training, where inputs are made up.
        judges: batches that are used for nothing but to measure the result, where there are enough.
        judged_on: what those are, in words.
        notes: what the user should know about how the model was made ready.
        by_design: the recipe learns from made-up inputs, whatever is given.
        unturned: the model and its analysis before a change of basis, where one was made.
        states: names of the outputs that recurrent operators were given, so that their states are known.
    """

    calibration: Calibration
    model: ir.Model
    analysis: Analysis
    opened: frozenset[str]
    statistics: Statistics
    judges: tuple[Mapping[str, NDArray[Any]], ...]
    judged_on: str
    notes: tuple[str, ...] = ()
    twin: Twin | None = None
    by_design: bool = False
    unturned: tuple[ir.Model, Analysis] | None = None
    states: frozenset[str] = frozenset()

    @property
    def judges_made_up(self) -> bool:
        """Whether there are no real inputs to judge the result on."""
        return self.calibration.synthetic and any(self.judges[0] is b for b in self.calibration.batches)

    @property
    def fresh(self) -> tuple[Mapping[str, NDArray[Any]], ...]:
        """Inputs that say how good the result is: real ones, or made-up ones that nothing was learnt from."""
        learnt = len(self.judges) == len(self.calibration.batches)
        return () if self.judges_made_up and learnt else self.judges

    def repair(
        self,
        keeps: Keeps,
        compensation: str,
        memory: int,
        seed: int,
        say: Callable[[str], None],
        chosen: str = "",
    ) -> Repair:
        """New values for the weights that remain; `chosen`: kinds of cut groups that data choose from."""
        how = find_pass("compensation", compensation)
        if chosen and not how.choices:
            return Repair()
        self.statistics.forget()
        lifelike = not self.calibration.synthetic or self.calibration.lifelike
        problem = CompensationProblem(
            self.statistics.model,
            self.statistics.analysis,
            keeps,
            self.statistics.batches,
            memory,
            seed,
            Progress(say, "repair"),
            lifelike,
            chosen,
        )
        with single_threaded():
            found: Repair = how.run(problem)
        if self.twin is not None:
            found.weights = self.twin.restored(found.weights)
        return found

    def _too_few(self, repair: Repair, scored: Keeps) -> list[str]:
        """Whether they were enough for the repair, or for scores where nothing was repaired."""
        fitted = [Looked(o.node, o.kept, o.rows) for o in repair.operators if not o.note]
        looked = fitted or self._read(scored)
        if self.calibration.synthetic:  # more samples are not the user's to give
            looked = [x for x in looked if 0 < x.rows < x.columns]
        distinct = self.calibration.samples - self.calibration.copies
        return too_few(looked, distinct, "repaired" if fitted else "scored")

    def _read(self, cut: Keeps) -> list[Looked]:
        """The operators that read what was cut, which is where criteria look."""
        seen, analysis = self.statistics, self.statistics.analysis
        groups = [g for g in analysis.groups if g.atom in cut]
        return [
            Looked(i.node, i.sizes[2], seen.count(i))
            for i in seen.linear
            if any(unit_columns(i, analysis, g) is not None for g in groups)
        ]

    def unreached(self, keeps: Keeps) -> list[str]:
        """What is cut although nothing is known of its readers, in words: they cannot be refitted."""
        analysis, linear = self.statistics.analysis, (*self.statistics.linear, *self.statistics.too_wide)
        readers = {
            g.key: [i for i in linear if unit_columns(i, analysis, g) is not None]
            for g in analysis.groups
            if g.atom in keeps and g.kind not in _READ_OTHERWISE
        }
        blind = [k for k, items in readers.items() if items and not any(map(self.statistics.reached, items))]
        unknown = [k for k, items in readers.items() if not items]
        found = []
        if blind:
            found.append(
                f"{len(blind)} of the dimensions that were cut lie where no calibration input came (the "
                f'first is "{blind[0]}"): they were chosen by their weights and not repaired; give inputs of '
                "that kind too"
            )
        if unknown:
            found.append(
                f"{len(unknown)} of the dimensions that were cut are read by no operator whose weights can "
                f'be refitted (the first is "{unknown[0]}"): what they lose is not made up for there'
            )
        return found

    def warnings(self, repair: Repair, scored: Keeps) -> list[str]:
        """What the user should know about the inputs.

        Args:
            repair: that was made on them.
            scored: what was cut by scores that were made on them.
        """
        found = self._too_few(repair, scored)
        if wide := self.statistics.too_wide:
            widest = max(wide, key=working_memory)
            found.append(
                f"{len(wide)} operators are too wide for the memory allowed, so what they read was chosen by "
                f'its weights, and they were not refitted (worst: "{widest.node}" wants '
                f"{working_memory(widest) / 1e9:.1f} GB); allow more (--memory)"
            )
        if broken := [o for o in repair.operators if o.left_out]:
            worst = max(broken, key=lambda o: o.left_out / (o.left_out + o.rows))
            found.append(
                f"{len(broken)} operators met values that are not finite, which were left out (worst: "
                f'"{worst.node}", {worst.left_out} of {worst.left_out + worst.rows} rows); look whether the '
                "inputs are what the model expects"
            )
        if copies := self.calibration.copies:
            found.append(
                f"{copies} of the {self.calibration.samples} inputs are copies of others, which say nothing "
                "new: scores, repair and agreement are of the few that differ; give different ones"
            )
        if self.calibration.synthetic and self.judges_made_up:
            moved = ", channels brought back to what training gave them" if self.twin is not None else ""
            better = "real ones (--calib) keep"
            if self.by_design:
                better = "recipes that learn from real ones, as auto does, keep"
            found.append(
                f"no calibration inputs were given: statistics are of {self.calibration.samples} made-up "
                f"inputs ({self.calibration.source}{moved}); {better} more of the accuracy"
            )
        return found


def prepare_inputs(
    model: ir.Model,
    analysis: Analysis,
    wanted: Wanted,
    seed: int,
    repair: bool = True,
    detail: Callable[[str], None] = lambda _: None,
) -> Inputs:
    """Read the calibration inputs and make a model ready for repair.

    Args:
        model: a normalised model.
        analysis: of that model.
        wanted: which inputs.
        seed: of everything random.
        repair: biases will be needed.
        detail: told how far it is where it takes long.

    Raises:
        CalibrationError: the inputs cannot be read or do not fit.
        ModelError: the model does not run on them.
    """
    calibration = load_calibration(
        wanted.made_up if wanted.calibration is None else wanted.calibration,
        model,
        analysis.recording,
        samples=wanted.samples,
        preprocessing=wanted.preprocessing,
        seed=seed,
    )
    given = None
    if wanted.only_made_up and not calibration.synthetic and not analysis.recording.given:
        given = calibration.batches
        calibration = load_calibration(wanted.made_up, model, analysis.recording, seed=seed)
    linear = find_linear(analysis) if repair else ()
    opened, recording, names = open_biases(model, analysis.recording, linear)
    opened, recording, states = open_states(opened, recording)
    ready = replace(analyse_model(opened, recording), opened=names, spared=analysis.spared)
    if repair and len(set(calibration.kinds)) > 1:
        calibration = _impressed(calibration, opened, ready, wanted, seed, Progress(detail, _STAGE))
    batches = calibration.batches
    judges, judged_on = batches, "the calibration inputs"
    if calibration.samples >= _JUDGED_FROM and len(batches) >= _ASIDE:
        last = wanted.aside - 1
        judges = batches[last :: wanted.aside]
        batches = tuple(b for k, b in enumerate(batches) if k % wanted.aside != last)
        judged_on = f"{'made-up' if calibration.synthetic else 'calibration'} inputs kept aside"
    if given is not None:
        judges, judged_on = given, UNLEARNT
    say = Progress(detail, _STAGE, "batches")
    statistics = Statistics(opened, ready, batches, budget=wanted.memory, seed=seed, say=say)
    try:
        next(iter(statistics.tensors(list(ready.facts.outputs))))
    except ModelError as error:
        raise ModelError(
            f"the model does not run on the calibration inputs ({calibration.source}): {error}"
        ) from None
    notes = calibration.notes
    found = Inputs(
        calibration,
        opened,
        ready,
        names,
        statistics,
        judges,
        judged_on,
        notes,
        by_design=wanted.only_made_up,
        states=states,
    )
    if wanted.basis:
        return _in_basis(found, wanted, seed)
    kinds = [k for b, k in zip(calibration.batches, calibration.kinds, strict=False) if _among(b, batches)]
    return _beside_twin(found, kinds, wanted, seed, Progress(detail, _STAGE)) if kinds and repair else found


def _among(feeds: Mapping[str, Any], batches: Sequence[Mapping[str, Any]]) -> bool:
    return any(feeds is b for b in batches)


def _impressed(
    calibration: Calibration, model: ir.Model, analysis: Analysis, wanted: Wanted, seed: int, say: Progress
) -> Calibration:
    """Made-up pictures with what a network was trained on in them, as far as it tells."""

    def moments() -> Mapping[str, ChannelMoments]:
        most = _for_twin(calibration)
        some, kinds = calibration.batches[:most], calibration.kinds[:most]
        twin = make_twin(model, analysis, some, kinds, wanted.memory, say)
        return {} if twin is None else twin.moments

    with single_threaded():
        found = impressed(model, analysis, calibration.batches, moments, seed, wanted.memory // 4, say)
    if found is None:
        return calibration
    some = "" if not any(a is b for a, b in zip(found, calibration.batches, strict=True)) else "most of them "
    source = f"{calibration.source}, {some}moved towards those of training"
    return replace(calibration, batches=found, source=source)


def _for_twin(calibration: Calibration) -> int:
    """How many batches a twin is made on."""
    return -(-_TWIN_SAMPLES * len(calibration.batches) // calibration.samples)


def _beside_twin(inputs: Inputs, kinds: Sequence[int], wanted: Wanted, seed: int, say: Progress) -> Inputs:
    """The same with statistics of the model's twin, if it has one."""
    batches, most = inputs.statistics.batches, _for_twin(inputs.calibration)
    twin = make_twin(inputs.model, inputs.analysis, batches[:most], kinds[:most], wanted.memory, say)
    if twin is None:
        return inputs
    statistics = Statistics(twin.model, twin.analysis, batches, budget=wanted.memory, seed=seed)
    return replace(inputs, statistics=statistics, twin=twin)


def _in_basis(inputs: Inputs, wanted: Wanted, seed: int) -> Inputs:
    """The same with the weights of another basis, and statistics of what flows then."""
    with single_threaded():
        weights, note = in_basis(inputs.statistics, wanted.basis, seed)
    if note:
        return replace(inputs, notes=(*inputs.notes, note))
    before = inputs.analysis
    model = with_weights(inputs.model, weights)
    analysis = replace(analyse_model(model, before.recording), opened=before.opened, spared=before.spared)
    statistics = Statistics(model, analysis, inputs.statistics.batches, budget=wanted.memory, seed=seed)
    unturned = inputs.model, before
    return replace(inputs, model=model, analysis=analysis, statistics=statistics, unturned=unturned)


def labelled_inputs(what: Any, calibration: Any, preprocessing: str = "") -> tuple[Mapping[str, Any], ...]:
    """Inputs of a model in batches, all of them in the order given.

    Args:
        what: the model, as a path or an object.
        calibration: the inputs, in any form that `load_calibration` reads.
        preprocessing: of pictures.

    Raises:
        CalibrationError: the inputs cannot be read or do not fit.
    """
    model = normalise(load(what).model)
    calibration = hold(calibration)
    wanted = Wanted(calibration, preprocessing=preprocessing)
    recording = record(model, 0, wanted.sizes(model), partial(wanted.examples, model))
    return load_calibration(calibration, model, recording, preprocessing=preprocessing).batches


def chosen_by_data(analysis: Analysis, keeps: Keeps) -> str:
    """The kinds of cut groups that data choose from, such as experts; zero weights do not stand for those."""
    return _kinds_of(Alternatives, analysis, keeps)


def looked_up(analysis: Analysis, keeps: Keeps) -> str:
    """The kinds of cut groups that inputs name, such as words."""
    return _kinds_of(Lookup, analysis, keeps)


def _kinds_of(effect: type[Alternatives | Lookup], analysis: Analysis, keeps: Keeps) -> str:
    atoms = {a for e in analysis.effects if isinstance(e, effect) for a in e.dim.atoms if a in keeps}
    return ", ".join(sorted({analysis.by_atom[a].kind for a in atoms if a in analysis.by_atom}))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Linear algebra in one thread: the matrices are small, and results are the same on every machine."""
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


def timing_feeds(analysis: Analysis, inputs: Inputs | None) -> Mapping[str, NDArray[Any]]:
    """What a model is timed on: a batch of the given inputs, else what shapes were recorded with."""
    if inputs is None or inputs.calibration.synthetic:
        return analysis.recording.feeds
    return inputs.calibration.batches[0]
