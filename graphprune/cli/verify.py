"""`graphprune verify`: two files held against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples, progress, write_text


@click.command(
    short_help="Is a file its original with slots removed, and how good is it?",
    epilog=examples(
        """
        graphprune verify model.onnx model.pruned.onnx --plan plan.json
        graphprune verify model.onnx model.pruned.onnx --calib inputs.npz --consumers all
        graphprune verify model.onnx tuned.onnx --own-weights --json verification.json
        """
    ),
)
@click.argument("original", type=click.Path(path_type=Path))
@click.argument("pruned", type=click.Path(path_type=Path))
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="What was kept, and how the rest was repaired; read from the weights if they are unchanged.",
)
@click.option(
    "--calib", metavar="DATA", help="Inputs to compare outputs on, as in the main command [made up]."
)
@click.option("--calib-samples", type=int, metavar="N", help="Use at most this many of them.")
@click.option("--preprocess", default="", metavar="STEPS", help="For images, as in the main command.")
@click.option(
    "--own-weights",
    is_flag=True,
    help="Compare with the original network that has the pruned model's weights: it was trained since.",
)
@click.option(
    "--consumers",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="Programs to try by comma, all or none: openvino, ort-optimised, ort-dynamic, ort-static, onnxslim, "
    "onnxsim, onnx2torch.",
)
@click.option(
    "--consumer-limit",
    type=float,
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="For each of them.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write all of it as JSON; - for standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
def verify(original: Path, pruned: Path, **given: Any) -> None:
    """Show that PRUNED is ORIGINAL with slots removed, how well it agrees, and what others make of it.

    Exit code 3 if it is something else, or if its inputs or outputs changed.
    """
    from rich.console import Console

    from graphprune.errors import VerificationError
    from graphprune.inputs import Wanted
    from graphprune.plan import read_plan
    from graphprune.report.verification import show_verification
    from graphprune.verification import verify_files

    read = {"the plan": given["plan_file"], "calibration data": given["calib"]}
    check_files({"--json": given["json_file"]}, read, [original, pruned])
    plan = read_plan(given["plan_file"]) if given["plan_file"] else None
    with progress(given) as say:
        found = verify_files(
            original,
            pruned,
            plan,
            wanted=Wanted(given["calib"], given["calib_samples"], given["preprocess"]),
            own_weights=given["own_weights"],
            consumers=given["consumers"],
            consumer_limit_s=given["consumer_limit"],
            seed=given["seed"],
            progress=say,
        )
    if given["json_file"]:
        write_text(given["json_file"], json.dumps(found.as_data(), indent=1) + "\n")
    if not given["quiet"] and given["json_file"] != "-":
        show_verification(found, Console())
    if not found.passed:
        raise VerificationError(found.complaint)
