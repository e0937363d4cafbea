"""`graphprune bench`: how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from graphprune.cli.files import check_files
from graphprune.cli.logs import verbose_option
from graphprune.cli.shared import examples, progress, write_text


@click.command(
    epilog=examples(
        """
        graphprune bench model.onnx model.pruned.onnx --batch 1,8
        graphprune bench model.onnx --provider cuda,cpu --shape input=1x3x640x640
        graphprune bench model.onnx model.pruned.onnx --threads 1 --cpu-time      on a busy machine
        """
    )
)
@click.argument("models", type=click.Path(path_type=Path), nargs=-1)
@click.option("--batch", metavar="SIZES", help="Batch sizes by comma, such as 1,8.")
@click.option(
    "--shape", multiple=True, metavar="SHAPE", help="Of an input: input=1x3x224x224; may be repeated."
)
@click.option(
    "--provider", default="cpu", show_default=True, metavar="NAMES", help="Such as cuda,cpu; preferred first."
)
@click.option("--providers", "list_them", is_flag=True, help="List what models can run on, and stop.")
@click.option("--threads", type=int, metavar="N", help="Threads of one operator [the runtime's choice].")
@click.option(
    "--optimise",
    default="all",
    show_default=True,
    metavar="LEVEL",
    help="How far the runtime may optimise the graph: none, basic, extended, all.",
)
@click.option("--runs", type=int, default=100, show_default=True, help="Measured runs of each model at most.")
@click.option(
    "--seconds", type=float, default=10.0, show_default=True, help="Time for each batch size at most."
)
@click.option("--cpu-time", is_flag=True, help="Count processor time; for busy machines, with --threads 1.")
@click.option("--no-profile", is_flag=True, help="Do not look where the time goes.")
@click.option("--no-memory", is_flag=True, help="Do not measure load time and peak memory.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything as JSON; - for standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@verbose_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of the inputs.")
def bench(models: tuple[Path, ...], **given: Any) -> None:
    """Time MODELS side by side in ONNX Runtime, and say where the time goes."""
    from rich.console import Console

    if given["list_them"]:
        _show_providers(Console())
        return
    from graphprune.benchmark import BenchOptions, parse_batches, parse_shapes, run_bench
    from graphprune.report.bench import show_bench

    check_files({"--json": given["json_file"]}, models=models)
    shapes = parse_shapes(given["shape"])
    options = BenchOptions(
        batches=parse_batches(given["batch"]) if given["batch"] else (),
        shapes=shapes,
        provider=given["provider"],
        threads=given["threads"],
        level=given["optimise"],
        runs=given["runs"],
        seconds=given["seconds"],
        profile=not given["no_profile"],
        memory=not given["no_memory"],
        seed=given["seed"],
        cpu_time=given["cpu_time"],
    )
    with progress(given) as say:
        data = run_bench(models, options, say)
    if given["json_file"]:
        write_text(given["json_file"], json.dumps(data, indent=1) + "\n")
    if not given["quiet"] and given["json_file"] != "-":
        show_bench(data, Console())


def _show_providers(console: Any) -> None:
    """What models can run on here, and what to install for the rest."""
    from rich.markup import escape
    from rich.table import Table

    from graphprune.runtime.providers import list_providers

    table = Table("provider", "runs on", "here", box=None, pad_edge=False, header_style="bold")
    for entry in list_providers():
        p = entry.provider
        missing = f"pip install {p.package}" if p.package else "needs a build of its own"
        table.add_row(p.name, p.hardware, escape("installed" if entry.installed else missing))
    console.print(table, soft_wrap=True)
