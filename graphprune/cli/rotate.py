"""`graphprune rotate`: residual streams in their principal components."""

from __future__ import annotations

from pathlib import Path

import click

from graphprune.cli.files import check_files
from graphprune.cli.shared import examples


@click.command(
    short_help="Turn residual streams, so that their width can be cut.",
    epilog=examples(
        """
        graphprune rotate gpt.onnx --calib inputs.npz -o gpt.turned.onnx
        graphprune gpt.turned.onnx --target macs=0.5 --calib inputs.npz -o small.onnx
        """
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--calib", required=True, metavar="DATA", help="Inputs, as for prune.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write it.")
@click.option("--force", is_flag=True, help="Allow the output to be the input file.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
def rotate(model: Path, calib: str, output: Path, force: bool, seed: int) -> None:
    """Write MODEL, a transformer with norms before its layers, in another basis.

    It gives the same outputs, but the width of its residual stream is a dimension like any other then.
    """
    from graphprune.api import rotate as turn

    check_files({}, {"calibration data": calib}, [model], output)
    turn(model, calib, output=output, force=force, seed=seed)
    click.echo(f"written to {output}: the same outputs, and its residual width can be cut")
