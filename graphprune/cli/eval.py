"""`graphprune eval`: models measured side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples, progress, write_text
from graphprune.errors import UsageError


@click.command(
    "eval",
    short_help="Your own measure of one model or of several.",
    epilog=examples(
        """
        graphprune eval model.onnx model.pruned.onnx --metric quality.py:accuracy
        graphprune eval model.onnx model.pruned.onnx --calib inputs.npz --labels labels.npy
        """
    ),
)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="MODEL...")
@click.option(
    "--metric",
    metavar="FUNCTION",
    help="module:function or file.py:function: takes predict, returns a number or numbers by name, higher is "
    "better; with --labels top1 or top5 [top1].",
)
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Class numbers (.npy) of the inputs of --calib."
)
@click.option(
    "--calib",
    "--data",
    "calib",
    metavar="DATA",
    help="The inputs that --labels belong to, as in the main command.",
)
@click.option("--preprocess", default="", metavar="STEPS", help="For images, as in the main command.")
@click.option(
    "--output-name", default="", metavar="NAME", help="The output with the class scores [the first]."
)
@click.option("--json", "json_file", metavar="FILE", help="Write the numbers as JSON; - for standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def evaluate(models: tuple[Path, ...], **given: Any) -> None:
    """Measure every MODEL and show how it differs from the first."""
    from rich.console import Console

    from graphprune.inputs import labelled_inputs
    from graphprune.metrics import evaluate_models, label_metric, load_metric
    from graphprune.report.evaluation import show_evaluation

    read = {
        "calibration data": given["calib"],
        "the labels": given["labels"],
        "the metric": given["metric"],
    }
    check_files({"--json": given["json_file"]}, read, models)
    if given["labels"]:
        if not given["calib"]:
            raise UsageError("--labels needs the inputs they belong to: give them with --calib")
        inputs = labelled_inputs(models[0], given["calib"], given["preprocess"])
        metric = label_metric(given["metric"] or "top1", given["labels"], inputs, given["output_name"])
    elif given["metric"]:
        metric = load_metric(given["metric"])
    else:
        raise UsageError("say what to measure: --metric file.py:function, or --labels with --calib")
    with progress(given) as say:
        found = evaluate_models(models, metric, say)
    if given["json_file"]:
        write_text(given["json_file"], json.dumps(found.as_data(), indent=1) + "\n")
    if not given["quiet"] and given["json_file"] != "-":
        show_evaluation(found, Console())
