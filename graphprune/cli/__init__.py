"""The command line: `graphprune MODEL` is the main verb; every verb has a file of its own.

Exit codes: 0 done, 2 bad input or usage, 3 verification failed, 4 target not reachable, 130 interrupted.
"""

from __future__ import annotations

import sys

import click

from graphprune.cli.apply import apply
from graphprune.cli.inspect import inspect
from graphprune.cli.prune import prune
from graphprune.cli.recipes import recipes
from graphprune.cli.report import report
from graphprune.errors import GraphPruneError

_PROMPT = "see `graphprune --help`"


class _MainVerb(click.Group):
    """`graphprune MODEL ...` means `graphprune prune MODEL ...`, and nothing at all asks for help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = args or ["--help"]
        if args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            args = ["prune", *args]
        return super().parse_args(ctx, args)


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    try:
        sys.exit(cli(prog_name="graphprune", standalone_mode=False) or 0)
    except GraphPruneError as error:
        click.echo(f"graphprune: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"graphprune: {error.format_message()} ({_PROMPT})", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("graphprune: interrupted; nothing was written", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value:
        return
    from graphprune.runtime.environment import environment
    from graphprune.version import __version__

    click.echo(f"graphprune {__version__}")
    for name, version in environment().packages.items():
        if name != "graphprune":
            click.echo(f"  {name} {version}")
    ctx.exit()


@click.group(
    cls=_MainVerb, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Versions."
)
def cli() -> None:
    """Make an ONNX model physically smaller.

    \b
    graphprune model.onnx --ratio 0.5              remove half of every prunable dimension
    graphprune model.onnx --target macs=0.5        remove as little as halves the multiply-adds
    graphprune model.onnx --target macs=0.5 --calib inputs.npz      and lose as little accuracy as can be
    graphprune inspect model.onnx                  what can be cut, what not and why
    graphprune apply plan.json tuned.onnx          repeat a plan exactly
    graphprune recipes                             the methods, and what each needs

    `graphprune prune --help` lists all options of the main command.
    """  # noqa: D301  (click wants a real backspace)


for _verb in (prune, apply, inspect, recipes, report):
    cli.add_command(_verb)
