"""`graphprune MODEL`: the main verb."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from graphprune.cli.completion import names_of
from graphprune.cli.config import ratios_by_name, read_config
from graphprune.cli.reports import Reports
from graphprune.cli.shared import (
    examples,
    kinds,
    listed,
    output_options,
    progress,
    read_bytes,
)


def pass_option(kind: str, what: str) -> Callable[[Any], Any]:
    """An option that names a pass of a kind, completed by the names there are."""
    return click.option(f"--{kind}", default="", metavar="PASS", shell_complete=names_of(kind), help=what)


@click.command(
    short_help="Prune a model; the word `prune` can be left out.",
    epilog=examples(
        """
        graphprune model.onnx                                    half of every prunable dimension
        graphprune model.onnx --target macs=0.5 --calib inputs.npz --report report.html
        graphprune model.onnx --target params=1.2M,size=8MB -o small.onnx
        graphprune model.onnx --ratio 0.3 --exclude 'stem.*' --round-to 16
        graphprune model.onnx --ratio 0.5 --dry-run --json - --quiet
        """
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--ratio", type=float, help="Share of slots to remove from each prunable group [0.5].")
@click.option(
    "--target",
    multiple=True,
    metavar="T",
    help="macs=0.5, params=1.2M, size=8MB, latency=0.5: what may be left.",
)
@click.option(
    "--max-drop",
    metavar="D",
    help="Instead of a target: as small as keeps the metric within 0.01, or 1%, of the original's.",
)
@click.option(
    "--metric", metavar="FUNCTION", help="For --max-drop: file.py:function, see `graphprune eval --help`."
)
@click.option(
    "--min-fidelity",
    metavar="F",
    help="Instead of a target, without labels: as small as keeps this agreement with the original, 0.98, "
    "top1=0.98 or cosine=0.99, on inputs kept aside.",
)
@click.option(
    "--minimise",
    default="macs",
    show_default=True,
    metavar="WHAT",
    help="What --max-drop and --min-fidelity make small: macs, params or size.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the sizes that were tried here, and try none of them twice.",
)
@click.option(
    "--calib",
    metavar="DATA",
    help="Inputs to learn from, no labels: .npz, .npy, a folder of them or of images, "
    "module:function, noise.",
)
@click.option("--calib-samples", type=int, metavar="N", help="Use at most this many of them.")
@click.option(
    "--preprocess", default="", metavar="STEPS", help="For images: resize=256,crop=224,mean=0.5,std=0.5, ..."
)
@click.option(
    "--recipe",
    default="",
    metavar="NAME",
    shell_complete=names_of("recipe"),
    help="Which method: see `graphprune recipes` [auto].",
)
@pass_option("criterion", "How slots are scored, instead of the recipe's.")
@pass_option("reducer", "How the scores of a slot's weights become one.")
@pass_option("normaliser", "How scores are made comparable between groups.")
@pass_option("allocation", "How many slots each group keeps.")
@pass_option("compensation", "How the remaining weights are repaired.")
@pass_option("depth", "What a layer is worth, where layers may go (--structures layers).")
@pass_option("basis", "A change of basis to make first, so that directions of attention are slots.")
@click.option(
    "--memory", default="4GB", show_default=True, metavar="SIZE", help="Of activations and statistics."
)
@click.option(
    "--round-to",
    default="1",
    show_default=True,
    metavar="N|auto",
    help="Keep multiples of so many channels or neurons; auto: of what this machine computes at a time.",
)
@click.option(
    "--min-keep",
    type=float,
    default=0.1,
    show_default=True,
    help="Share every group keeps under a target or ranking.",
)
@click.option(
    "--structures",
    metavar="KINDS",
    help="Only these kinds, by comma: channels, neurons, heads, kv-groups, head-dim, groups, hidden, "
    "experts, vocabulary, residual, layers.",
)
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only dimensions of weights or nodes with such names."
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave dimensions of such weights or nodes alone."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="TOML file of options.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="Write the plan (kept indices and reasons) as JSON.",
)
@click.option("--dry-run", is_flag=True, help="Decide and report, but make no model.")
@output_options
@click.pass_context
def prune(ctx: click.Context, /, model: Path, **given: Any) -> None:
    """Prune MODEL: remove the slots that matter least, and prove the result."""
    from graphprune.decide import Options, parse_targets
    from graphprune.decide.rounding import parse_rounding
    from graphprune.inputs import Wanted
    from graphprune.pipeline import run_pipeline
    from graphprune.run import Settings
    from graphprune.search import make_wish, search

    targets = parse_targets(listed(given["target"]))
    ratio = given["ratio"]
    wish = make_wish(
        given["max_drop"],
        given["min_fidelity"],
        given["metric"],
        minimise=given["minimise"],
        resume=given["resume"],
        excluded=bool(targets) or ratio is not None,
    )
    options = Options(
        ratio=0.5 if ratio is None and not targets else ratio,
        targets=targets,
        recipe=given["recipe"],
        criterion=given["criterion"],
        reducer=given["reducer"],
        normaliser=given["normaliser"],
        allocation=given["allocation"],
        compensation=given["compensation"],
        round_to=parse_rounding(given["round_to"]),
        min_keep=given["min_keep"],
        structures=kinds(given["structures"]),
        only=tuple(listed(given["only"])),
        exclude=tuple(listed(given["exclude"])),
        ratios=ratios_by_name(ctx.meta.get("ratios", {})),
        seed=given["seed"],
        depth=given["depth"],
        basis=given["basis"],
    )
    read = {
        "calibration data": given["calib"],
        "the metric": given["metric"],
        "the configuration": ctx.meta.get("config"),
    }
    reports = Reports(given, model, read)
    with progress(given) as say:
        settings = Settings(
            reports.output,
            given["force"],
            not given["no_verify"],
            not given["no_benchmark"],
            given["dry_run"],
            say,
            say,
            Wanted(given["calib"], given["calib_samples"], given["preprocess"], read_bytes(given["memory"])),
            provider=given["provider"],
            beside=reports.stage,
        )
        if wish is None:
            run = run_pipeline(model, options, settings)
        else:
            run = search(model, options, settings, wish, partial(_tell, given["quiet"]))
    reports.show(run)


def _tell(quiet: bool, line: str) -> None:
    """What a search has found so far."""
    if not quiet:
        click.echo(line, err=True)
