"""`graphprune apply`: a plan once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphprune.cli.reports import Reports
from graphprune.cli.shared import examples, output_options, progress


@click.command(
    short_help="Repeat a plan on a model.",
    epilog=examples(
        """
        graphprune model.onnx --ratio 0.5 --dry-run --plan plan.json
        graphprune apply plan.json model.onnx -o small.onnx
        graphprune apply plan.json tuned.onnx --report report.html
        """
    ),
)
@click.argument("plan", type=click.Path(path_type=Path))
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calib", metavar="DATA", help="Inputs for the repair, instead of those the plan names.")
@click.option("--no-repair", is_flag=True, help="Cut only, even if the plan was made with a repair.")
@output_options
def apply(plan: Path, model: Path, **given: Any) -> None:
    """Repeat PLAN exactly on MODEL, which may be a fine-tuned twin of the model it was made for."""
    from graphprune.inputs import Wanted
    from graphprune.pipeline import run_plan
    from graphprune.plan import read_plan
    from graphprune.run import Settings

    made = read_plan(plan)
    calib = given["calib"] or made.repair.get("calibration")
    reports = Reports(given, model, {"the plan": plan, "calibration data": calib})
    with progress(given) as say:
        settings = Settings(
            reports.output,
            given["force"],
            not given["no_verify"],
            not given["no_benchmark"],
            False,
            say,
            say,
            Wanted(given["calib"]),
            not given["no_repair"],
            given["provider"],
            reports.stage,
        )
        run = run_plan(model, made, settings, given["seed"])
    reports.show(run)
