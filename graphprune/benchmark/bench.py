"""Measures models side by side and gives everything back as plain data, described in docs/bench_format.md."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir

from graphprune.analysis import Analysis, CostModel, analyse_model
from graphprune.benchmark.fresh import measure_fresh
from graphprune.benchmark.layers import Measured, compare_layers
from graphprune.benchmark.points import Point, make_points
from graphprune.benchmark.ratios import FEWEST, paired_ratio, percentile
from graphprune.errors import UsageError
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.environment import environment
from graphprune.runtime.kernels import measured_kernels
from graphprune.runtime.latency import take_turns
from graphprune.runtime.profile import Profile, profile
from graphprune.runtime.record import record
from graphprune.runtime.seeds import check_seed
from graphprune.runtime.session import open_session

FORMAT = 1


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to measure.

    Attributes:
        batches: sizes of the first axes of the inputs; none for the model's own.
        shapes: of some inputs.
        provider: see `open_session`.
        threads: threads of one operator; None leaves it to the runtime.
        level: how far the runtime may optimise the graph, see `runtime.options.LEVELS`.
        runs: measured runs of each model at each point at most.
        seconds: that a point should take at most.
        profile: say where the time goes.
        memory: measure load time and peak memory.
        seed: of the inputs.
        cpu_time: count processor time rather than wall time; needs one thread on the CPU.
    """

    batches: tuple[int, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    provider: str = "cpu"
    threads: int | None = None
    level: str = "all"
    runs: int = 100
    seconds: float = 10.0
    profile: bool = True
    memory: bool = True
    seed: int = 0
    cpu_time: bool = False

    def __post_init__(self) -> None:
        if self.cpu_time and (self.threads != 1 or self.provider != "cpu"):
            raise UsageError(
                "processor time is that of one thread: --cpu-time needs --threads 1 and no --provider"
            )
        check_seed(self.seed)
        if self.runs < 1 or self.seconds <= 0:
            raise UsageError(
                "at least one run and some time are needed: --runs and --seconds must be above 0"
            )


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that is measured."""

    path: Path
    size_bytes: int
    normal: ir.Model
    analysis: Analysis


def run_bench(
    paths: Sequence[str | os.PathLike[str]],
    options: BenchOptions,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure models; all are compared with the first.

    Raises:
        ModelError: one of them cannot be read or run.
        UsageError: they take different inputs, or none of what was asked for.
    """
    if not paths:
        raise UsageError("give at least one model to measure")
    say("load")
    models = [_read(Path(p), options.seed) for p in paths]
    first = models[0]
    points = make_points(
        first.normal, first.analysis.recording.sizes, options.batches, options.shapes, options.seed
    )
    _check_same_inputs(models)
    say("time")
    data: dict[str, Any] = {
        "format": FORMAT,
        "provider": options.provider,
        "threads": options.threads,
        "clock": "cpu" if options.cpu_time else "wall",
        "models": [_about(m) for m in models],
        "points": [_time(models, p, options) for p in points],
        "profiles": [],
        "comparisons": [],
        "environment": environment().as_data(),
    }
    if options.memory:
        say("memory")
        for model, entry in zip(models, data["models"], strict=True):
            entry |= measure_fresh(model.path, points[-1].feeds, options.provider, options.threads)
    if options.profile:
        say("profile")
        _explain(models, points[-1], options, data, say)
    return data


def _read(path: Path, seed: int) -> _Model:
    source = load(path)
    normal = normalise(source.model)
    return _Model(path, source.size_bytes, normal, analyse_model(normal, record(normal, seed)))


def _about(model: _Model) -> dict[str, Any]:
    cost = CostModel(model.analysis).cost()
    return {
        "path": str(model.path),
        "size_bytes": model.size_bytes,
        "params": cost.params,
        "macs": cost.macs,
        "load_ms": None,
        "first_run_ms": None,
        "peak_bytes": None,
        "model_bytes": None,
    }


def _check_same_inputs(models: Sequence[_Model]) -> None:
    """One set of inputs must do for all."""
    expected = {str(v.name): v.dtype for v in models[0].normal.graph.inputs}
    for model in models[1:]:
        if {str(v.name): v.dtype for v in model.normal.graph.inputs} != expected:
            raise UsageError(
                f"{model.path} does not take the inputs of {models[0].path}, so times cannot be compared: "
                "measure them one by one"
            )


def _time(models: Sequence[_Model], point: Point, options: BenchOptions) -> dict[str, Any]:
    """Latencies of all models at one point, taken in turns."""
    with contextlib.ExitStack() as stack:
        tasks = {}
        for place, model in enumerate(models):
            session = open_session(
                model.path, provider=options.provider, threads=options.threads, optimise=options.level
            )
            tasks[str(place)] = stack.enter_context(session).bound(point.feeds)
        found = take_turns(
            tasks,
            runs=options.runs,
            warmup=5,
            budget_s=options.seconds,
            least=FEWEST,
            cpu_time=options.cpu_time,
        )
    times = list(found.values())
    whole = CostModel(models[0].analysis).cost().macs
    ratios = []
    for place, model in enumerate(models[1:], start=1):
        speedup = paired_ratio(times[0], times[place], options.seed)
        promised = whole / max(1, CostModel(model.analysis).cost().macs)
        ratios.append(
            {
                "model": place,
                "speedup": speedup.value,
                "low": speedup.low,
                "high": speedup.high,
                "macs_ratio": promised,
                "share": speedup.value / promised,
            }
        )
    return {
        "batch": point.batch,
        "shapes": point.shapes,
        "runs": len(times[0]),
        "latency": [
            {
                "p50_ms": percentile(t, 0.5),
                "p90_ms": percentile(t, 0.9),
                "per_second": 1e3 * point.batch / percentile(t, 0.5),
            }
            for t in times
        ],
        "ratios": ratios,
    }


def _explain(
    models: Sequence[_Model],
    point: Point,
    options: BenchOptions,
    data: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    """Where the time goes, and what became of the layers of the first model in the others."""
    measured = []
    for model in models:
        found = profile(model.normal, point.feeds, threads=options.threads, provider=options.provider)
        measured.append(Measured(model.analysis, found))
        data["profiles"].append(_by_operator(found))
    if len(models) > 1:
        steps = measured_kernels(options.provider, 1, say).steps
        data["comparisons"] = [
            {"model": place, **compare_layers(measured[0], other, steps)}
            for place, other in enumerate(measured[1:], start=1)
        ]


def _by_operator(found: Profile) -> dict[str, Any]:
    ops: dict[str, list[float]] = {}
    for kernel in found.kernels:
        ops.setdefault(kernel.op, []).append(kernel.ms)
    rows = sorted(ops.items(), key=lambda item: -sum(item[1]))
    return {
        "run_ms": found.run_ms,
        "kernels_ms": found.kernel_ms,
        "operators": [{"op": op, "calls": len(t), "ms": sum(t)} for op, t in rows],
        "kernels": [asdict(k) | {"nodes": list(k.nodes)} for k in found.kernels],
    }
