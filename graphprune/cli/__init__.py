"""The command line: `graphprune MODEL` is the main verb; every verb has a file of its own.

Exit codes: 0 done, 2 bad input or usage, 3 verification failed, 4 target not reachable, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import click
from click.shell_completion import CompletionItem

from graphprune.cli.apply import apply
from graphprune.cli.bench import bench
from graphprune.cli.completion import completion
from graphprune.cli.eval import evaluate
from graphprune.cli.inspect import inspect
from graphprune.cli.ops import ops
from graphprune.cli.prune import prune
from graphprune.cli.recipes import recipes
from graphprune.cli.report import report
from graphprune.cli.rotate import rotate
from graphprune.cli.shared import examples, listen_for_interrupts
from graphprune.cli.verify import verify
from graphprune.errors import GraphPruneError

_PROMPT = "see `graphprune --help`"
_EXAMPLES = """
graphprune model.onnx --ratio 0.5              remove half of every prunable dimension
graphprune model.onnx --target macs=0.5        remove as little as halves the multiply-adds
graphprune model.onnx --target macs=0.5 --calib inputs.npz      and lose as little accuracy as can be
graphprune model.onnx --max-drop 0.01 --metric file.py:function     as small as your own measure allows
graphprune model.onnx --ratio 0.5 --report report.html          and show all about it on one page
graphprune inspect model.onnx                  what can be cut, what not and why
graphprune apply plan.json tuned.onnx          repeat a plan exactly
graphprune verify model.onnx pruned.onnx       is it the original with slots removed, and how good
graphprune rotate gpt.onnx --calib inputs.npz -o turned.onnx    let the width of a transformer be cut
graphprune bench model.onnx pruned.onnx        how much faster, and why not more
graphprune eval a.onnx b.onnx --metric file.py:function         your own measure, side by side
"""
_EXIT_CODES = """\b
Exit codes:
  0    done
  2    bad input or usage: the model, an option, a plan, a place to write to
  3    the result is not the masked original; nothing was written
  4    the target cannot be reached; the message says what can
  130  interrupted; nothing was written

`graphprune COMMAND --help` lists the options of a command, `graphprune prune --help` those of the main one.
"""


class _MainVerb(click.Group):
    """`graphprune MODEL ...` means `graphprune prune MODEL ...`, and nothing at all asks for help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = args or ["--help"]
        if args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            self._refuse_misspelt(args[0])
            args = ["prune", *args]
        return super().parse_args(ctx, args)

    def _refuse_misspelt(self, word: str) -> None:
        """A word that is almost a verb, and no file, is not a model."""
        from difflib import get_close_matches

        meant = get_close_matches(word, self.commands, n=1, cutoff=0.7)
        if meant and not os.path.exists(word):
            raise click.UsageError(f"there is no verb and no file {word!r}: did you mean {meant[0]!r}?")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which they are needed

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs, and what may stand in their place: a model, or options of the main verb."""
        if incomplete.startswith("-"):
            options = (
                o for p in self.commands["prune"].get_params(ctx) for o in p.opts if o.startswith("--")
            )
            own = [CompletionItem(o) for o in options if o.startswith(incomplete) and o != "--help"]
            return [*super().shell_complete(ctx, incomplete), *own]
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    listen_for_interrupts()
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
    cls=_MainVerb,
    subcommand_metavar="MODEL [OPTIONS] | COMMAND ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(_EXAMPLES) + "\n\n" + _EXIT_CODES,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Versions."
)
def cli() -> None:
    """Make an ONNX model physically smaller."""


for _verb in (prune, apply, rotate, inspect, verify, evaluate, bench, recipes, ops, report, completion):
    cli.add_command(_verb)
