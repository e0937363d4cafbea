"""`graphprune inspect`: what can be cut."""

from __future__ import annotations

import json
from pathlib import Path

import click

from graphprune.cli.files import check_files
from graphprune.cli.logs import verbose_option
from graphprune.cli.shared import examples, kinds, write_text


@click.command(
    short_help="What can be cut, and why not the rest.",
    epilog=examples(
        """
        graphprune inspect model.onnx
        graphprune inspect model.onnx --all
        graphprune inspect model.onnx --structures heads,neurons
        graphprune inspect model.onnx --json groups.json
        """
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Show every dimension, not only the first forty.")
@click.option("--structures", metavar="KINDS", help="As in the main command.")
@click.option("--json", "json_file", metavar="FILE", help="Write the groups as JSON; - for standard output.")
@verbose_option
def inspect(model: Path, everything: bool, structures: str | None, json_file: str | None) -> None:
    """Show the prunable dimensions of MODEL, and why the others cannot be cut."""
    from rich.console import Console

    from graphprune.decide import choose_candidates
    from graphprune.pipeline import analyse_source
    from graphprune.report import show_inspection
    from graphprune.report.groups import groups_as_data

    check_files({"--json": json_file}, models=[model])
    _, _, analysis = analyse_source(model)
    reasons = choose_candidates(analysis, structures=kinds(structures)).reasons
    if json_file:
        write_text(json_file, json.dumps(groups_as_data(analysis, reasons), indent=1) + "\n")
    if json_file != "-":
        show_inspection(analysis, reasons, Console(), limit=None if everything else 40)
