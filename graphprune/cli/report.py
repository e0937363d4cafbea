"""`graphprune report`: a page from the data of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples, write_text
from graphprune.errors import UsageError

_MODELS = {"the model that the report is of": "model", "the pruned model": "output"}


@click.command(
    short_help="An HTML page from the data of an earlier run.",
    epilog=examples(
        """
        graphprune model.onnx --ratio 0.5 --json run.json
        graphprune report run.json                               writes run.html
        graphprune report run.json -o page.html --bench bench.json
        """
    ),
)
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="FILE", help="Where the page goes; - for standard output [REPORT.html]."
)
@click.option(
    "--bench",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `graphprune bench --json` wrote: adds latencies and the profile of the operators.",
)
def report(report: Path, output: str | None, bench: Path | None) -> None:
    """Make an HTML page of REPORT, the JSON that --json wrote."""
    from graphprune.report.data import FORMAT
    from graphprune.report.html import check_page_possible, render

    check_page_possible()
    where = output or str(report.with_suffix(".html"))
    check_files({"-o": where}, {"the report": report, "the benchmark": bench})
    data = _read(report, "report")
    if not {"format", "before", "after", "equivalence"} <= data.keys():
        raise UsageError(
            f"{report} is JSON but not a report: write one with `graphprune MODEL --json {report}`"
        )
    if data["format"] != FORMAT:
        raise UsageError(f"the report {report} has format {data['format']}, this version reads {FORMAT}")
    models = {what: data[key] for what, key in _MODELS.items() if isinstance(data.get(key), str)}
    check_files({"-o": where}, models)
    times = None if bench is None else _read(bench, "benchmark")
    if times is not None and not {"models", "points"} <= times.keys():
        raise UsageError(f"{bench} is JSON but not a benchmark: write one with `graphprune bench --json`")
    write_text(where, render(data, times))


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"the {what} {path} is not valid JSON ({error}): write one with --json") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} is JSON but not a {what}: write one with --json")
    return data
