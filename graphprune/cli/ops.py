"""`graphprune ops`: the operators."""

from __future__ import annotations

import json

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples, write_text


@click.command(
    short_help="The operators, and the rule of each.",
    epilog=examples(
        """
        graphprune ops                       all of them
        graphprune ops Conv LayerNormalization
        graphprune ops --json ops.json
        """
    ),
)
@click.argument("names", nargs=-1)
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - for standard output.")
def ops(names: tuple[str, ...], json_file: str | None) -> None:
    """List the operators with the rule that each has, or the reason why it has none.

    NAMES are operators, for example Conv; all without.
    """
    from rich.console import Console

    from graphprune.report.operators import operators_as_data, show_operators

    check_files({"--json": json_file})
    rows = operators_as_data(names)
    if json_file:
        write_text(json_file, json.dumps(rows, indent=1) + "\n")
    if json_file != "-":
        show_operators(rows, Console())
