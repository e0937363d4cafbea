"""What a run leaves besides its model: the plan, the report in its forms, and what is printed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import beside, stage_text, staged

if TYPE_CHECKING:
    from graphprune.load.staging import Staging
    from graphprune.run import Run

_WRITTEN = {
    "--plan": "plan_file",
    "--json": "json_file",
    "--overlay": "overlay",
    "--report": "page",
    "--resume": "resume",
}


class Reports:
    """The reports that were asked for: their files appear together with the model, or not at all."""

    def __init__(self, given: dict[str, Any], model: Path, read: dict[str, Any]) -> None:
        """Find out before the work whether all that is to be written can be.

        Args:
            given: the options.
            model: the model that is pruned.
            read: what else is read, by what it is.

        Raises:
            OutputError: a file cannot be written, or stands for two things.
        """
        self._given = given
        self._report: dict[str, Any] | None = None
        self._spoken: list[str] = []
        self.output: Path = given["output"] or beside(model)
        result = None if given.get("dry_run") else self.output
        check_files({option: given.get(name) for option, name in _WRITTEN.items()}, read, [model], result)
        if given["page"]:
            from graphprune.report.html import check_page_possible

            check_page_possible()

    def stage(self, run: Run, files: Staging) -> None:
        """Make the files ready beside their places; called before the model gets its name."""
        from graphprune.report import make_report

        self._report = make_report(run, shlex.join(["graphprune", *sys.argv[1:]]))
        self._spoken = []
        for name, text in self._texts(run, self._report):
            if str(self._given[name]) == "-":
                self._spoken.append(text)
            else:
                stage_text(self._given[name], text, files)

    def show(self, run: Run) -> None:
        """Write what no model was written with, and print the rest."""
        from rich.console import Console

        from graphprune.report import show_report

        if self._report is None:
            with staged() as files:
                self.stage(run, files)
        for text in self._spoken:
            click.echo(text, nl=False)
        if not self._given["quiet"] and self._given["json_file"] != "-":
            assert self._report is not None
            show_report(self._report, Console())
            if self._given["page"]:
                click.echo(f"page: {self._given['page']}")

    def _texts(self, run: Run, report: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """The reports that were asked for, by the name of their option."""
        if self._given.get("plan_file"):
            yield "plan_file", run.plan.to_json()
        if self._given["json_file"]:
            yield "json_file", json.dumps(report, indent=1) + "\n"
        if self._given["overlay"]:
            from graphprune.report.overlay import overlay

            yield "overlay", json.dumps(overlay(run.source.model, report["layers"]), indent=1) + "\n"
        if self._given["page"]:
            from graphprune.report.html import render

            yield "page", render(report)
