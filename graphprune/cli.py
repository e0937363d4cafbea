"""The command line: `graphprune MODEL` is the main verb, `inspect` and `apply` stand beside it.

Exit codes: 0 done, 2 bad input or usage, 3 verification failed, 4 target not reachable, 130 interrupted.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from graphprune.errors import GraphPruneError, OutputError, UsageError

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


def _read_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    """A TOML file whose keys are the long options; `[ratios]` gives groups their own ratio."""
    if value is None:
        return None
    import tomllib

    try:
        data = tomllib.loads(value.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {value}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the configuration {value} is not valid TOML: {error}") from None
    ctx.meta["ratios"] = data.pop("ratios", {})
    known = {p.name: p for p in ctx.command.params if isinstance(p, click.Option)}
    given = {k.replace("-", "_"): v for k, v in data.items()}
    for key in given:
        if key not in known:
            raise UsageError(
                f"the configuration {value} has an unknown key {key!r}: keys are the long options"
            )
    ctx.default_map = {**(ctx.default_map or {}), **given}
    return value


def _output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option(
                "-o",
                "--output",
                type=click.Path(path_type=Path),
                help="Where the pruned model goes [MODEL.pruned.onnx].",
            ),
            click.option("--force", is_flag=True, help="Allow the output to be the input file."),
            click.option("--no-verify", is_flag=True, help="Skip the comparison with the masked original."),
            click.option("--no-benchmark", is_flag=True, help="Skip the latency measurement."),
            click.option(
                "--json",
                "json_file",
                metavar="FILE",
                help="Write the whole report as JSON; - for standard output.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
            click.option("--seed", type=int, default=0, show_default=True, help="Of everything random."),
        )
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--ratio", type=float, help="Share of slots to remove from each prunable group [0.5].")
@click.option(
    "--target", multiple=True, metavar="T", help="macs=0.5, params=1.2M, size=8MB: what may be left."
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
@click.option("--recipe", default="", metavar="NAME", help="Which method: see `graphprune recipes` [auto].")
@click.option(
    "--criterion", default="", metavar="PASS", help="How slots are scored, instead of the recipe's."
)
@click.option("--reducer", default="", metavar="PASS", help="How the scores of a slot's weights become one.")
@click.option(
    "--normaliser", default="", metavar="PASS", help="How scores are made comparable between groups."
)
@click.option("--allocation", default="", metavar="PASS", help="How many slots each group keeps.")
@click.option("--compensation", default="", metavar="PASS", help="How the remaining weights are repaired.")
@click.option(
    "--memory", default="4GB", show_default=True, metavar="SIZE", help="Of activations and statistics."
)
@click.option(
    "--round-to",
    type=int,
    default=1,
    show_default=True,
    help="Keep multiples of this many channels or neurons.",
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
    "experts, vocabulary, residual.",
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
    callback=_read_config,
    help="TOML file of options.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="Write the plan (kept indices and reasons) as JSON.",
)
@click.option("--dry-run", is_flag=True, help="Decide and report, but make no model.")
@_output_options
@click.pass_context
def prune(ctx: click.Context, /, model: Path, **given: Any) -> None:
    """Prune MODEL: remove the slots that matter least, and prove the result."""
    from graphprune.decide import Options, parse_targets
    from graphprune.inputs import Wanted
    from graphprune.pipeline import Settings, run_pipeline

    targets = parse_targets(_listed(given["target"]))
    ratio = given["ratio"]
    options = Options(
        ratio=0.5 if ratio is None and not targets else ratio,
        targets=targets,
        recipe=given["recipe"],
        criterion=given["criterion"],
        reducer=given["reducer"],
        normaliser=given["normaliser"],
        allocation=given["allocation"],
        compensation=given["compensation"],
        round_to=given["round_to"],
        min_keep=given["min_keep"],
        structures=_kinds(given["structures"]),
        only=tuple(_listed(given["only"])),
        exclude=tuple(_listed(given["exclude"])),
        ratios=_ratios(ctx.meta.get("ratios", {})),
        seed=given["seed"],
    )
    _check_writable(given["json_file"], given["plan_file"])
    with _progress(given) as say:
        settings = Settings(
            given["output"] or _beside(model),
            given["force"],
            not given["no_verify"],
            not given["no_benchmark"],
            given["dry_run"],
            say,
            say,
            Wanted(given["calib"], given["calib_samples"], given["preprocess"], _bytes(given["memory"])),
        )
        run = run_pipeline(model, options, settings)
    if given["plan_file"]:
        _write_text(given["plan_file"], run.plan.to_json())
    _show(run, given)


@cli.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calib", metavar="DATA", help="Inputs for the repair, instead of those the plan names.")
@click.option("--no-repair", is_flag=True, help="Cut only, even if the plan was made with a repair.")
@_output_options
def apply(plan: Path, model: Path, **given: Any) -> None:
    """Repeat PLAN exactly on MODEL, which may be a fine-tuned twin of the model it was made for."""
    from graphprune.inputs import Wanted
    from graphprune.pipeline import Settings, run_plan
    from graphprune.plan import read_plan

    _check_writable(given["json_file"], None)
    with _progress(given) as say:
        settings = Settings(
            given["output"] or _beside(model),
            given["force"],
            not given["no_verify"],
            not given["no_benchmark"],
            False,
            say,
            say,
            Wanted(given["calib"]),
            not given["no_repair"],
        )
        run = run_plan(model, read_plan(plan), settings, given["seed"])
    _show(run, given)


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Show every dimension, not only the first forty.")
@click.option("--structures", metavar="KINDS", help="As in the main command.")
@click.option("--json", "json_file", metavar="FILE", help="Write the groups as JSON; - for standard output.")
def inspect(model: Path, everything: bool, structures: str | None, json_file: str | None) -> None:
    """Show the prunable dimensions of MODEL, and why the others cannot be cut."""
    from rich.console import Console

    from graphprune.decide import choose_candidates
    from graphprune.pipeline import analyse_source
    from graphprune.report import show_inspection
    from graphprune.report.groups import groups_as_data

    _check_writable(json_file, None)
    _, _, analysis = analyse_source(model)
    reasons = choose_candidates(analysis, structures=_kinds(structures)).reasons
    if json_file:
        _write_text(json_file, json.dumps(groups_as_data(analysis, reasons), indent=1) + "\n")
    if json_file != "-":
        show_inspection(analysis, reasons, Console(), limit=None if everything else 40)


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - for standard output.")
def recipes(name: str | None, json_file: str | None) -> None:
    """List the recipes with what each needs, or describe the one called NAME."""
    from rich.console import Console

    from graphprune.report.recipes import recipes_as_data, show_recipes

    data = recipes_as_data(name)
    if json_file:
        _write_text(json_file, json.dumps(data, indent=1) + "\n")
    if json_file != "-":
        show_recipes(data, Console())


# -- helpers ------------------------------------------------------------------------------------


def _beside(model: Path) -> Path:
    return model.with_name(f"{model.stem}.pruned.onnx")


def _bytes(text: str) -> int:
    """A size such as 512MB or 4GB in bytes."""
    found = re.fullmatch(r"([0-9.]+)\s*([KMG]?)I?B?", str(text).strip().upper())
    try:
        if found is None:
            raise ValueError
        return int(float(found[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2]])
    except ValueError:
        raise UsageError(f"cannot read the size {text!r}: write for example 512MB or 4GB") from None


def _listed(values: Any) -> list[str]:
    """Repeated options and configuration entries as one list."""
    return [values] if isinstance(values, str) else list(values or ())


def _kinds(text: Any) -> tuple[str, ...] | None:
    if text is None:
        return None
    parts = text.split(",") if isinstance(text, str) else list(text)
    return tuple(p.strip() for p in parts if p.strip())


def _ratios(found: Any) -> dict[str, float]:
    if not isinstance(found, dict) or not all(isinstance(v, int | float) for v in found.values()):
        raise UsageError(
            '[ratios] in the configuration must give numbers by name, for example "layer1.*" = 0.3'
        )
    return {str(k): float(v) for k, v in found.items()}


def _check_writable(*files: str | Path | None) -> None:
    """Find out before the work whether reports can go where they should."""
    for file in files:
        if file is not None and str(file) != "-":
            folder = Path(file).resolve().parent
            if not folder.is_dir() or Path(file).is_dir():
                raise OutputError(
                    f"cannot write {file}: "
                    + ("it is a folder" if folder.is_dir() else "its folder does not exist")
                )


def _write_text(file: str | Path, text: str) -> None:
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or error}") from None


def _show(run: Any, given: dict[str, Any]) -> None:
    from rich.console import Console

    from graphprune.report import make_report, show_report

    report = make_report(run)
    if given["json_file"]:
        _write_text(given["json_file"], json.dumps(report, indent=1) + "\n")
    if not given["quiet"] and given["json_file"] != "-":
        show_report(report, Console())


@contextmanager
def _progress(given: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """One line for each stage on standard error, with its time; a spinner where there is a terminal."""
    if given["quiet"]:
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    started: list[tuple[str, float]] = []

    def finish() -> None:
        if started:
            stage, start = started.pop()
            console.print(f"[dim]{stage:<10}{time.perf_counter() - start:6.2f} s[/]")

    with console.status("") as status:

        def say(stage: str) -> None:
            if started and stage.partition(" ")[0] == started[-1][0]:
                status.update(stage)  # the same stage, further on
                return
            finish()
            started.append((stage, time.perf_counter()))
            status.update(stage)

        yield say
        finish()
