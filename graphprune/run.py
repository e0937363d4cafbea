"""What a run is asked to do, what it has found out, and how long its stages took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from graphprune.analysis import Analysis
from graphprune.calibrate import Calibration
from graphprune.decide import Decision, Target
from graphprune.inputs import Inputs, Wanted
from graphprune.load import Source, Staging
from graphprune.passes import Repair
from graphprune.plan import Plan
from graphprune.validate import Equivalence, Fidelity

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

    @property
    def cuts(self) -> bool:
        """Whether anything goes."""
        sizes = self.analysis.atom_sizes
        return any(s.count < sizes.get(a, 1) for a, s in self.decision.keeps.items())


class Clock:
    """Times the stages and tells the user which one runs."""

    def __init__(self, progress: Callable[[str], None], seconds: dict[str, float] | None = None) -> None:
        self._progress = progress
        self._stage, self._start = "", 0.0
        self.seconds: dict[str, float] = {} if seconds is None else seconds

    def start(self, stage: str) -> None:
        """The stage before has ended, and this one begins."""
        self.stop()
        self._stage, self._start = stage, time.perf_counter()
        self._progress(stage)

    def stop(self) -> None:
        """The stage that runs has ended."""
        if self._stage:
            passed = time.perf_counter() - self._start
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + passed
            _log.info("%s took %.2f s", self._stage, passed)
        self._stage = ""
