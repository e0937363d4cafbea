"""`graphprune recipes`: the methods."""

from __future__ import annotations

import json

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples, write_text


@click.command(
    short_help="The methods, and what each needs.",
    epilog=examples(
        """
        graphprune recipes
        graphprune recipes minitron
        graphprune recipes --json recipes.json
        """
    ),
)
@click.argument("name", required=False)
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - for standard output.")
def recipes(name: str | None, json_file: str | None) -> None:
    """List the recipes with what each needs, or describe the one called NAME."""
    from rich.console import Console

    from graphprune.report.recipes import recipes_as_data, show_recipes

    check_files({"--json": json_file})
    data = recipes_as_data(name)
    if json_file:
        write_text(json_file, json.dumps(data, indent=1) + "\n")
    if json_file != "-":
        show_recipes(data, Console())
