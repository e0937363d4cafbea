"""Runs other pruners over the zoo, for the columns beside ours in docs/coverage.md.

Torch-Pruning gets the torch module of every architecture and no hint: no ignored layers, no heads. onnxsim
gets the exported files: `simplify`, then its pruning of attention heads and of channels. Both are asked for
half; a result works if it runs and its outputs have the shapes of the original's (for Torch-Pruning, which
cuts the last layer too, their ranks). Each is run in a process of its own, whose memory and time are limited.
The records are kept in the repository as they come (run.py makes the page of them); what has a record is
skipped.
"""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from children import ChildError, Children
from records import Records

RATIO = 0.5
MEMORY_BYTES = 8 << 30
Record = dict[str, Any]


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    records, children = Records(options.records), Children(["imported", "prune_one"])
    for rival, what in _todo(options):
        key = f"{rival}/{Path(what).name}"
        if key not in records:
            records.add(key, _in_a_process(children, rival, what, options.timeout))
            print(key, records[key], flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", metavar="ZOO", help="folder that export.py wrote")
    parser.add_argument(
        "--records", type=Path, default=Path("docs/coverage"), metavar="DIR", help="kept records"
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="architectures, e.g. 'tv_*'")
    parser.add_argument("--rival", choices=[*WORK, "both"], default="both")
    parser.add_argument("--exporter", choices=["torchscript", "dynamo", "both"], default="both")
    parser.add_argument(
        "--timeout", type=float, default=120, metavar="S", help="processor seconds for one run"
    )
    return parser.parse_args()


def _todo(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """What each rival is given; small ones first."""
    files = sorted(Path(options.zoo).glob("*.onnx"), key=lambda path: path.stat().st_size)
    seen: set[str] = set()
    for path in files:
        name, exporter = path.name.split(".")[:2]
        if not fnmatch.fnmatch(name, options.only):
            continue
        if options.rival != "onnxsim" and name not in seen:
            seen.add(name)
            yield "torch-pruning", name
        if options.rival != "torch-pruning" and options.exporter in ("both", exporter):
            yield "onnxsim", str(path)


def _in_a_process(children: Children, rival: str, what: str, timeout_s: float) -> Record:
    try:
        return {"version": version(rival), **children.run(WORK[rival], what, timeout_s, MEMORY_BYTES)}
    except TimeoutError as error:
        return {"status": "not finished", "why": str(error)}
    except ChildError as error:
        return {"status": "fails", "why": str(error).split(":")[0]}


# -- the rivals ---------------------------------------------------------------------------------


def _torch_pruning(name: str) -> Record:
    """Half of every layer's channels, no hints."""
    import torch
    import torch_pruning
    import tweaks
    from architectures import architectures
    from case import SEED
    from randomise import randomise

    torch.set_num_threads(1)
    row = architectures()[name]
    tweaks.apply(row.tweaks)
    torch.manual_seed(SEED)
    built = row.build()
    inputs = tuple(built.inputs.values())
    randomise(built.module, inputs, SEED)
    for parameter in built.module.parameters():
        parameter.requires_grad_(True)  # its tracing follows autograd
    expected = _shapes(built.module(*inputs))
    before = sum(p.numel() for p in built.module.parameters())
    step = "building the pruner"
    try:
        importance = torch_pruning.importance.MagnitudeImportance()
        pruner = torch_pruning.pruner.MetaPruner(
            built.module, inputs, importance=importance, pruning_ratio=RATIO
        )
        step = "pruning"
        pruner.step()
        step = "running the result"
        with torch.no_grad():
            found = _shapes(built.module(*inputs))
    except Exception as error:
        return {"status": "fails", "why": f"{type(error).__name__} when {step}"}
    removed = 1 - sum(p.numel() for p in built.module.parameters()) / before
    # Without hints it cuts the last layer too; this is counted as working, as long as the rank stays.
    if [len(shape) for shape in found] != [len(shape) for shape in expected]:
        return {"status": "fails", "why": "outputs of another rank"}
    return {"status": "works", "removed": removed, "outputs_cut": found != expected}


def _shapes(value: Any) -> list[tuple[int, ...]]:
    """Shapes of all tensors in what a module gives back."""
    if hasattr(value, "shape"):
        return [tuple(value.shape)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [shape for item in items for shape in _shapes(item)]


def _onnxsim(file: str) -> Record:
    """Half of the heads, then half of the channels, of the simplified graph."""
    import onnx
    import onnxsim
    from onnxsim import pruning

    from graphprune.load import load
    from graphprune.normalise import normalise
    from graphprune.runtime.record import record
    from graphprune.runtime.session import open_session

    given = load(file).model
    feeds = record(normalise(given)).feeds
    step = "simplifying"
    try:
        simple = onnxsim.simplify(onnx.load(file))[0]
        before = _parameters(simple)
        step = "pruning heads"
        pruned = pruning.apply_attention_head_pruning(simple, RATIO)
        step = "pruning channels"
        pruned = pruning.apply_structured_pruning(pruned, RATIO)
        step = "running the result"
        with open_session(given) as session:
            expected = {name: array.shape for name, array in session.run(feeds).items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pruned.onnx"
            onnx.save(pruned, path)
            with open_session(path) as session:
                found = {name: array.shape for name, array in session.run(feeds).items()}
    except Exception as error:
        return {"status": "fails", "why": f"{type(error).__name__} when {step}"}
    if found != expected:
        return {"status": "fails", "why": "outputs of another shape"}
    return {"status": "works", "removed": 1 - _parameters(pruned) / max(before, 1)}


def _parameters(model: Any) -> int:
    from math import prod

    return sum(prod(tensor.dims) for tensor in model.graph.initializer)


WORK: dict[str, Callable[[str], Record]] = {"torch-pruning": _torch_pruning, "onnxsim": _onnxsim}


if __name__ == "__main__":
    main()
