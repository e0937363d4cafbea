"""The Python API: `prune`, `analyse`, `apply`, `rotate`, `bench`, `verify`, `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphprune.analysis import Analysis
from graphprune.benchmark import BenchOptions, run_bench
from graphprune.decide import Options, parse_targets
from graphprune.inputs import Wanted, labelled_inputs
from graphprune.load import check_output, save, to_form
from graphprune.metrics import Evaluation, evaluate_models, label_metric, load_metric
from graphprune.pipeline import analyse_source, run_pipeline, run_plan, turn_streams
from graphprune.plan import Plan, read_plan
from graphprune.report import make_report
from graphprune.run import Run, Settings
from graphprune.search import make_wish, search
from graphprune.verification import Verification, verify_files


@dataclass(frozen=True, slots=True)
class Result:
    """What a prune gives back.

    Attributes:
        model: the pruned model in the form that was given: an `onnx.ModelProto` for a path or a proto,
            an `onnx_ir.Model` or an `onnx_graphsurgeon.Graph` for those. None after a dry run.
        plan: which slots were kept and why; can be saved and applied again.
        report: the figures as plain data, see docs/report.md.
    """

    model: Any
    plan: Plan
    report: Mapping[str, Any]


def prune(
    model: Any,
    ratio: float | None = None,
    *,
    target: str | Sequence[str] = (),
    max_drop: float | str | None = None,
    metric: str | Callable[..., Any] | None = None,
    min_fidelity: float | str | None = None,
    minimise: str = "macs",
    resume: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    calib: Any = None,
    calib_samples: int | None = None,
    preprocess: str = "",
    recipe: str = "",
    criterion: str = "",
    reducer: str = "",
    normaliser: str = "",
    allocation: str = "",
    compensation: str = "",
    depth: str = "",
    basis: str = "",
    round_to: int | str = 1,
    min_keep: float = 0.1,
    structures: str | Sequence[str] | None = None,
    only: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    ratios: Mapping[str, float] | None = None,
    seed: int = 0,
    force: bool = False,
    verify: bool = True,
    benchmark: bool = False,
    dry_run: bool = False,
    memory: int = 4 << 30,
    provider: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Remove the slots that matter least from every prunable dimension of a model.

    Args:
        model: a path, an `onnx.ModelProto`, an `onnx_ir.Model` or an `onnx_graphsurgeon.Graph`. It is never
            changed.
        ratio: share of slots to remove from each group, in [0, 1); 0.5 if no target is given.
        target: budgets such as `"macs=0.5"`, `"params=1.2M"`, `"size=8MB"` instead of a ratio.
        max_drop: instead of a ratio or a target: find the smallest model whose metric is worse by no more
            than this, 0.01 or "1%" of the original's.
        metric: for `max_drop`, see `evaluate`.
        min_fidelity: the same without labels: the least agreement with the original on inputs kept aside,
            0.98, "top1=0.98" or "cosine=0.99".
        minimise: what is made small then: "macs", "params" or "size".
        resume: a file that keeps the sizes that were tried.
        output: where to write the pruned model.
        calib: inputs the statistics are made of: a path of a .npz or .npy file, a folder of them or of
            images, "module:function", "noise", a mapping of arrays, or any iterable of feeds. None makes
            inputs up.
        calib_samples: use at most this many of them.
        preprocess: what to do with images, for example "resize=256,crop=224,mean=0.5,std=0.5".
        recipe: a set of parts by name, see `graphprune recipes`; "" for "auto", or "plain" if a part
            is named.
        criterion: how slots are scored, instead of the recipe's pass.
        reducer: how the scores of a slot's weights become one.
        normaliser: how scores are made comparable between groups.
        allocation: how many slots each group keeps.
        compensation: how the remaining weights are repaired.
        depth: what a layer is worth, where layers may go (`structures` names them).
        basis: a change of basis to make first, so that directions of attention are slots: "attention",
            "keys" or "values".
        round_to: kept channels and neurons are rounded up to a multiple of this; "auto" for the multiples
            that this machine's kernels compute at a time.
        min_keep: smallest share of slots any group keeps when a target or a global ranking decides.
        structures: kinds of dimensions that may be cut, one or several; None for all that can be cut exactly.
        only: a name pattern of weights or nodes, or several; other groups are left alone.
        exclude: a name pattern of weights or nodes to leave alone, or several.
        ratios: own ratios for groups by name pattern.
        seed: of everything random.
        force: allow `output` to be the input file.
        verify: hold the result against the masked original in ONNX Runtime.
        benchmark: measure latency before and after.
        dry_run: find out everything, but write and give back no model.
        memory: bytes of activations and statistics to hold at a time.
        provider: execution providers to measure latency on, by comma, the preferred one first.
        progress: called with the name of each stage as it starts.

    Raises:
        GraphPruneError: see `graphprune.errors`; `exit_code` tells the cases apart.
    """
    targets = parse_targets(_listed(target))
    options = Options(
        ratio=0.5 if ratio is None and not targets else ratio,
        targets=targets,
        recipe=recipe,
        criterion=criterion,
        reducer=reducer,
        normaliser=normaliser,
        allocation=allocation,
        compensation=compensation,
        round_to=round_to,
        min_keep=min_keep,
        structures=None if structures is None else _kinds(structures),
        only=_listed(only),
        exclude=_listed(exclude),
        ratios=dict(ratios or {}),
        seed=seed,
        depth=depth,
        basis=basis,
    )
    wanted = Wanted(calib, calib_samples, preprocess, memory)
    settings = Settings(
        _path(output), force, verify, benchmark, dry_run, progress, wanted=wanted, provider=provider
    )
    wish = make_wish(
        max_drop,
        min_fidelity,
        metric,
        minimise=minimise,
        resume=resume,
        excluded=bool(targets) or ratio is not None,
    )
    if wish is not None:
        return _result(search(model, options, settings, wish, progress))
    return _result(run_pipeline(model, options, settings))


def apply(
    plan: Plan | str | os.PathLike[str],
    model: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    calib: Any = None,
    repair: bool = True,
    force: bool = False,
    verify: bool = True,
    benchmark: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Repeat a plan exactly, on the same model or on a fine-tuned twin of the same structure.

    Args:
        plan: a plan or the path of one.
        model: see `prune`.
        output: where to write the pruned model.
        calib: inputs for the repair instead of those the plan names; without a repair they judge the result.
        repair: repair the remaining weights as the plan says.
        force: allow `output` to be the input file.
        verify: hold the result against the masked original in ONNX Runtime.
        benchmark: measure latency before and after.
        progress: called with the name of each stage as it starts.
        seed: of everything random that the plan does not fix.

    Raises:
        PlanError: the plan does not fit the model.
    """
    settings = Settings(
        _path(output), force, verify, benchmark, False, progress, wanted=Wanted(calib), repair=repair
    )
    return _result(run_plan(model, plan if isinstance(plan, Plan) else read_plan(plan), settings, seed))


def rotate(
    model: Any,
    calib: Any,
    *,
    output: str | os.PathLike[str] | None = None,
    calib_samples: int | None = None,
    preprocess: str = "",
    force: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Any:
    """Turn the residual streams of a transformer into their principal components, so that they can be cut.

    The result gives the same outputs. Prune it instead of the model; plans that are made of it fit it alone.

    Args:
        model: a path, an `onnx.ModelProto`, an `onnx_ir.Model` or an `onnx_graphsurgeon.Graph`.
        calib: inputs to learn the directions from, in any form that `prune` takes.
        output: where to write it.
        calib_samples: use at most this many inputs.
        preprocess: of pictures.
        force: allow `output` to be the input file.
        seed: of everything random.
        progress: called with the name of each stage as it starts.

    Returns:
        The turned model in the form that was given.

    Raises:
        ModelError: no stream of it can be turned.
    """
    wanted = Wanted(calib, calib_samples, preprocess)
    source, turned = turn_streams(model, wanted, seed, progress)
    if output is not None:
        check_output(output, source, force)
        save(turned, output, source=source, force=force)
    return to_form(turned, source.form)


def bench(
    *models: str | os.PathLike[str],
    batch: int | Sequence[int] = (),
    shape: Mapping[str, Sequence[int]] | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    optimise: str = "all",
    runs: int = 100,
    seconds: float = 10.0,
    profile: bool = True,
    memory: bool = True,
    cpu_time: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Time models side by side in ONNX Runtime, each against the first.

    Args:
        models: paths.
        batch: sizes of the first axes of the inputs; the model's own, or 1, by default.
        shape: of some inputs, by name.
        provider: execution providers by comma, the preferred one first.
        threads: threads of one operator; None leaves it to the runtime.
        optimise: how far the runtime may optimise the graph: "none", "basic", "extended" or "all".
        runs: measured runs of each model and batch size at most.
        seconds: time for each batch size at most.
        profile: find out where the time goes.
        memory: measure load time and peak memory, each in a process of its own.
        cpu_time: count processor time rather than wall time, for busy machines; needs one thread on the CPU.
        seed: of the inputs.
        progress: called with the name of each stage as it starts.

    Returns:
        Plain data, see docs/bench_format.md.

    Raises:
        GraphPruneError: see `graphprune.errors`.
    """
    options = BenchOptions(
        batches=(batch,) if isinstance(batch, int) else tuple(batch),
        shapes={k: tuple(v) for k, v in (shape or {}).items()},
        provider=provider,
        threads=threads,
        level=optimise,
        runs=runs,
        seconds=seconds,
        profile=profile,
        memory=memory,
        seed=seed,
        cpu_time=cpu_time,
    )
    return run_bench(models, options, progress)


def analyse(model: Any, *, seed: int = 0) -> Analysis:
    """The coupled groups of a model: sizes, members, what is frozen and why.

    Args:
        model: a path, an `onnx.ModelProto`, an `onnx_ir.Model` or an `onnx_graphsurgeon.Graph`.
        seed: of the random inputs used to record shapes.
    """
    return analyse_source(model, seed)[2]


def verify(
    original: Any,
    pruned: Any,
    *,
    plan: Plan | str | os.PathLike[str] | None = None,
    calib: Any = None,
    calib_samples: int | None = None,
    preprocess: str = "",
    own_weights: bool = False,
    consumers: str | Sequence[str] = "all",
    consumer_limit_s: float = 300.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Show that a model is another one with slots removed, how well it agrees, and what others make of it.

    Args:
        original: see `prune`.
        pruned: a path or model that was made of it.
        plan: what was kept, and how the rest was repaired; None to read the kept slots from the weights.
        calib: inputs to compare outputs on, see `prune`; None makes some up.
        calib_samples: use at most this many of them.
        preprocess: what to do with images.
        own_weights: compare with the original network that has the pruned model's weights: it was trained
            since, or repaired on inputs that are gone.
        consumers: other programs to try it with, by name; "all" or "none".
        consumer_limit_s: seconds for each of them.
        seed: of everything random.
        progress: called with the name of each stage as it starts.

    Returns:
        What was found; `.passed` says whether anything speaks against it, `.complaint` what, and `.as_data()`
        is all of it, see docs/verify.md.

    Raises:
        GraphPruneError: something cannot be read, or does not belong together.
    """
    read = plan if plan is None or isinstance(plan, Plan) else read_plan(plan)
    return verify_files(
        original,
        pruned,
        read,
        wanted=Wanted(calib, calib_samples, preprocess),
        own_weights=own_weights,
        consumers=consumers,
        consumer_limit_s=consumer_limit_s,
        seed=seed,
        progress=progress,
    )


def evaluate(
    models: Any,
    metric: str | Callable[..., Any] = "",
    *,
    labels: Any = None,
    calib: Any = None,
    preprocess: str = "",
    output_name: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Measure models with a metric of your own, or by labels.

    Args:
        models: one model or several, see `prune`.
        metric: a function, or the name of one as "module:function" or "file.py:function". It is given
            `predict`, which takes the inputs by name and gives the outputs by name, and returns a number, or
            numbers by name. Higher is better unless it has an attribute `lower_is_better = True`. With
            `labels`, "top1" or "top5".
        labels: class numbers of the inputs of `calib`, an array or the path of a .npy file.
        calib: inputs, see `prune`.
        preprocess: what to do with images.
        output_name: the output with the class scores; the first by default.
        progress: told which model is measured.

    Raises:
        GraphPruneError: a model does not run, or the metric fails.
    """
    several = list(models) if isinstance(models, list | tuple) else [models]
    if labels is not None:
        chosen = metric if isinstance(metric, str) and metric else "top1"
        found = label_metric(chosen, labels, labelled_inputs(several[0], calib, preprocess), output_name)
    else:
        found = load_metric(metric)
    return evaluate_models(several, found, progress)


def _listed(given: str | Sequence[str]) -> tuple[str, ...]:
    """A text is one entry, not a list of its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def _kinds(given: str | Sequence[str]) -> tuple[str, ...]:
    """Kinds of dimensions; in one text they are joined by commas, as on the command line."""
    return tuple(part.strip() for text in _listed(given) for part in text.split(",") if part.strip())


def _path(output: str | os.PathLike[str] | None) -> Path | None:
    return None if output is None else Path(output)


def _result(run: Run) -> Result:
    model = None if run.pruned is None or run.settings.dry_run else to_form(run.pruned, run.source.form)
    return Result(model, run.plan, make_report(run))
