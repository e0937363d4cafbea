"""What several verbs share: options of the output, files that are written, progress."""

from __future__ import annotations

import os
import re
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphprune.cli.logs import verbose_option
from graphprune.errors import OutputError, UsageError

if TYPE_CHECKING:
    from graphprune.load.staging import Staging


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb that writes a model."""
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
                "--provider",
                default="cpu",
                show_default=True,
                metavar="NAMES",
                help="What latency is measured on: cpu, cuda, openvino, ...; the preferred one first.",
            ),
            click.option(
                "--json",
                "json_file",
                metavar="FILE",
                help="Write the whole report as JSON; - for standard output.",
            ),
            click.option(
                "--report",
                "page",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write the report as an HTML page.",
            ),
            click.option(
                "--overlay",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write what was cut as node data for Model Explorer.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
            verbose_option,
            click.option("--seed", type=int, default=0, show_default=True, help="Of everything random."),
        )
    ):
        command = option(command)
    return command


def examples(text: str) -> str:
    """Lines of commands for the end of a help page, as they are."""
    return "\b\nExamples:\n" + textwrap.indent(textwrap.dedent(text).strip(), "  ")


def beside(model: Path) -> Path:
    """Where the result goes if nothing else is said."""
    return model.with_name(f"{model.stem}.pruned.onnx")


def read_bytes(text: str) -> int:
    """A size such as 512MB or 4GB in bytes."""
    found = re.fullmatch(r"([0-9.]+)\s*([KMG]?)I?B?", str(text).strip().upper())
    try:
        if found is None:
            raise ValueError
        return int(float(found[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[found[2]])
    except ValueError:
        raise UsageError(f"cannot read the size {text!r}: write for example 512MB or 4GB") from None


def listed(values: Any) -> list[str]:
    """Repeated options and configuration entries as one list."""
    return [values] if isinstance(values, str) else list(values or ())


def kinds(text: Any) -> tuple[str, ...] | None:
    """Kinds of dimensions, from one string or a list."""
    if text is None:
        return None
    parts = text.split(",") if isinstance(text, str) else list(text)
    return tuple(p.strip() for p in parts if p.strip())


def write_text(file: str | Path, text: str) -> None:
    """Write a report; `-` is standard output.

    Raises:
        OutputError: it cannot be written.
    """
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    with staged() as files:
        stage_text(file, text, files)


@contextmanager
def staged() -> Iterator[Staging]:
    """Files that get their names at the end, all of them or none."""
    from graphprune.load.staging import Staging

    with Staging() as files:
        yield files
        try:
            files.commit()
        except OSError as error:
            raise OutputError(f"writing failed ({error.strerror or error}); nothing was written") from None


def stage_text(file: str | Path, text: str, files: Staging) -> None:
    """Write a text beside its place, where it comes with the other files; devices and pipes get it at once.

    Raises:
        OutputError: it cannot be written.
    """
    place = Path(os.path.realpath(file))  # a link stays one
    try:
        if place.exists() and not place.is_file():
            Path(file).write_text(text, encoding="utf-8")
            return
        opened = files.open(place)
        opened.write(text.encode())
        opened.flush()  # a full disk is found now
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or error}") from None


_interrupted = threading.Event()


def listen_for_interrupts() -> None:
    """Remember Ctrl-C: raised in the middle of a finaliser, Python would forget it."""

    def remember(*_: object) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, remember)


def check_interrupted() -> None:
    """Stop here if an interrupt has come that nobody has noticed."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def progress(given: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """One line for each stage on standard error, with its time; a spinner where there is a terminal."""
    if given["quiet"]:
        yield lambda _: check_interrupted()
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
            check_interrupted()
            if started and stage.partition(" ")[0] == started[-1][0]:
                status.update(stage)  # the same stage, further on
                return
            finish()
            started.append((stage, time.perf_counter()))
            status.update(stage)

        yield say
        finish()
