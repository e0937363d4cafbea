"""`graphprune completion`: what a shell needs to complete commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from graphprune.cli.shared import examples


@click.command(
    short_help="Completion for bash, zsh or fish.",
    epilog=examples(
        """
        graphprune completion bash >> ~/.bashrc
        graphprune completion zsh >> ~/.zshrc
        graphprune completion fish > ~/.config/fish/completions/graphprune.fish
        """
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete verbs, options, recipes and files."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "graphprune", "_GRAPHPRUNE_COMPLETE").source())


def names_of(kind: str) -> Callable[[Any, Any, str], list[str]]:
    """Completes names of recipes, or of passes of a kind."""

    def complete(_: Any, __: Any, incomplete: str) -> list[str]:
        from graphprune.passes import all_passes, all_recipes

        offered = all_recipes() if kind == "recipe" else all_passes()
        return sorted(name for k, name in offered if k == kind and name.startswith(incomplete))

    return complete
