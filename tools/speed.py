"""Measures the dependency analysis: against Torch-Pruning's on the same networks, and against graph size.

Both analyses run in this process, one after the other on one thread, several times; medians are compared.
Needs torch, torchvision, timm and torch-pruning. Without names, a dozen architectures are measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "zoo"))

import tweaks
from stacks import STACKS

from graphprune.analysis import analyse_model
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.environment import environment
from graphprune.runtime.record import record

# name: (library, size of the square input image)
ARCHITECTURES = {
    "resnet18": ("torchvision", 224),
    "resnet50": ("torchvision", 224),
    "vgg11_bn": ("torchvision", 224),
    "mobilenet_v3_large": ("torchvision", 224),
    "densenet121": ("torchvision", 224),
    "googlenet": ("torchvision", 224),
    "efficientnet_b0": ("torchvision", 224),
    "regnet_y_400mf": ("torchvision", 224),
    "shufflenet_v2_x1_0": ("torchvision", 224),
    "convnext_tiny": ("torchvision", 224),
    "vit_b_16": ("torchvision", 224),
    "swin_t": ("torchvision", 224),
    "resnext50_32x4d": ("timm", 224),
    "mixer_s16_224": ("timm", 224),
}
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}
BLOCKS = (10, 30, 100, 300, 1000)
BLIND_LIMIT_S, BLIND_LIMIT_BYTES = 120, 6 << 30


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for one architecture; `pruned` says what Torch-Pruning's pruner does without hints."""

    name: str
    nodes: int
    analysis: float
    recording: float
    command: float
    torch_pruning: float | None
    pruned: str


def main() -> None:
    """Measure what the command line asks for and write the page."""
    options = _options()
    warnings.filterwarnings("ignore")
    tweaks.apply(())
    import torch

    torch.set_num_threads(1)
    rows = []
    for name in options.names or ARCHITECTURES:
        rows.append(_measure(name, options.repeat))
        print(rows[-1], flush=True)
    stacks = {name: [_stack(build, n, options.repeat) for n in BLOCKS] for name, build in STACKS.items()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(_page(rows, stacks, options.repeat))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ARCHITECTURES)}")
    parser.add_argument("--repeat", type=int, default=7, metavar="N", help="times each is measured")
    parser.add_argument("--out", type=Path, default=Path("docs/speed.md"), metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ARCHITECTURES):
        parser.error(f"unknown architecture {', '.join(sorted(unknown))}")
    return options


# -- one architecture ---------------------------------------------------------------------------


def _measure(name: str, repeat: int) -> Timing:
    import torch

    torch.manual_seed(0)
    module, example = _built(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        with torch.no_grad():
            axes = {"image": {0: "batch"}}
            torch.onnx.export(
                module, (example,), str(path), dynamo=False, input_names=["image"], dynamic_axes=axes
            )
        normal = normalise(load(path).model)
        recorded = _seconds(lambda: record(normal))
        recording = record(normal)
        ours, theirs = [], []
        for _ in range(repeat):  # side by side: a busy moment of the machine hits both
            ours.append(_seconds(lambda: analyse_model(normal, recording)))
            theirs.append(_torch_pruning(name, module, example))
        nodes = len(analyse_model(normal, recording).facts.nodes)
        command = median(_command(path) for _ in range(max(1, repeat // 3)))
    known = [t for t in theirs if t is not None]
    return Timing(
        name, nodes, median(ours), recorded, command, median(known) if known else None, _pruned_blindly(name)
    )


def _built(name: str) -> tuple[Any, Any]:
    import torch

    library, size = ARCHITECTURES[name]
    if library == "timm":
        import timm

        module = timm.create_model(name, pretrained=False)
    else:
        import torchvision

        module = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {}))
    return module.eval(), torch.randn(1, 3, size, size)


def _seconds(call: Callable[[], object]) -> float:
    """Processor seconds: other programs on the machine do not count."""
    start = time.process_time()
    call()
    return time.process_time() - start


def _command(path: Path) -> float:
    """Processor seconds of the whole command, from the start of the interpreter."""
    call = "from graphprune.cli import main; main()"
    command = [sys.executable, "-c", call, str(path), "--ratio", "0.5", "--no-benchmark"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-o", str(path) + ".out"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# -- Torch-Pruning ------------------------------------------------------------------------------


def _torch_pruning(name: str, module: Any, example: Any) -> float | None:
    """Seconds that Torch-Pruning takes to trace the module and build its graph; None if it cannot."""
    import torch_pruning

    for parameter in module.parameters():
        parameter.requires_grad_(True)  # its tracing follows autograd
    try:
        return _seconds(lambda: torch_pruning.DependencyGraph().build_dependency(module, example))
    except Exception as error:
        print(f"torch-pruning, {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def _pruned_blindly(name: str) -> str:
    """What becomes of the network when Torch-Pruning's pruner gets no hint; in a process of its own.

    On some networks the pruner asks for more memory than a machine has, or does not end.
    """
    call = f"import speed; print(speed.prune_blindly({name!r}))"
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", call],
            capture_output=True,
            text=True,
            check=False,
            timeout=BLIND_LIMIT_S,
            cwd=Path(__file__).parent,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (BLIND_LIMIT_BYTES, BLIND_LIMIT_BYTES)),
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {BLIND_LIMIT_S} s"
    return (done.stdout.strip().splitlines() or [f"ends with code {done.returncode}"])[-1]


def prune_blindly(name: str) -> str:
    """Cut half of everything with Torch-Pruning's pruner and say in words what comes of it."""
    tweaks.apply(())
    import torch
    import torch_pruning

    module, example = _built(name)
    before = sum(p.numel() for p in module.parameters())
    step = "building the pruner"
    try:
        importance = torch_pruning.importance.MagnitudeImportance()
        pruner = torch_pruning.pruner.MetaPruner(module, example, importance=importance, pruning_ratio=0.5)
        step = "pruning"
        pruner.step()
        step = "running the result"
        with torch.no_grad():
            shape = tuple(module(example).shape)
    except MemoryError:
        return f"needs more than {BLIND_LIMIT_BYTES >> 30} GiB when {step}"
    except Exception as error:
        memory = "allocate memory" in str(error)
        return f"fails when {step} ({'out of memory' if memory else type(error).__name__})"
    if shape != (1, 1000):
        return f"runs, with {shape[-1]} classes left"
    after = sum(p.numel() for p in module.parameters())
    return f"runs, {1 - after / before:.0%} of the parameters removed"


# -- stacks of blocks ---------------------------------------------------------------------------


def _stack(build: Callable[[int], Any], blocks: int, repeat: int) -> tuple[int, int, float]:
    """Blocks, nodes and median seconds of the analysis."""
    normal = normalise(load(build(blocks)).model)
    recording = record(normal)
    times = [_seconds(lambda: analyse_model(normal, recording)) for _ in range(repeat)]
    return blocks, len(normal.graph), median(times)


# -- the page -----------------------------------------------------------------------------------


def _page(rows: Sequence[Timing], stacks: dict[str, list[tuple[int, int, float]]], repeat: int) -> str:
    return "\n".join([_head(repeat), _table(rows), _summary(rows), _linearity(stacks)])


def _head(repeat: int) -> str:
    found = environment()
    stack = f"Python {found.python}, torch {version('torch')}, torch-pruning {version('torch-pruning')}"
    return f"""# Speed of the analysis

Made by `tools/speed.py` on {found.cpu} ({found.cores} cores, one thread used), {stack}.
Processor time, so that other programs on the machine do not count; medians of {repeat} measurements, both
tools taking turns in one process. The networks are torchvision's and timm's own with an input of
1 x 3 x 224 x 224, the ONNX files come from torch's TorchScript exporter with an open batch.

- *analysis*: graphprune's dependency analysis, from the graph and the shapes of its tensors to the groups
- *shapes*: two runs in ONNX Runtime, at two batch sizes, that find out the shapes (measured once)
- *Torch-Pruning*: `DependencyGraph().build_dependency`, which traces the module and builds its graph
- *command*: all of `graphprune MODEL --ratio 0.5 --no-benchmark`, from the start of the interpreter to the
  written file, with the check of mask equivalence
- *without hints*: what `MetaPruner(module, example, importance, pruning_ratio=0.5).step()` makes of the
  network when no layer is named as ignored and no heads are declared
"""


def _table(rows: Sequence[Timing]) -> str:
    lines = [
        "| network | nodes | analysis | shapes | Torch-Pruning | Torch-Pruning / analysis "
        "| Torch-Pruning / (shapes + analysis) | command | Torch-Pruning without hints |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        theirs = r.torch_pruning
        lines.append(
            f"| {r.name} | {r.nodes} | {r.analysis * 1000:.0f} ms | {r.recording * 1000:.0f} ms "
            f"| {f'{theirs * 1000:.0f} ms' if theirs else 'fails'} | {_times(theirs, r.analysis)} "
            f"| {_times(theirs, r.analysis + r.recording)} | {r.command:.1f} s | {r.pruned} |"
        )
    return "\n".join(lines) + "\n"


def _times(theirs: float | None, ours: float) -> str:
    return f"{theirs / ours:.1f}" if theirs else "–"


def _summary(rows: Sequence[Timing]) -> str:
    both = [r for r in rows if r.torch_pruning]
    if not both:
        return ""
    ratios = [(r.torch_pruning or 0.0) / r.analysis for r in both]
    whole = [(r.torch_pruning or 0.0) / (r.analysis + r.recording) for r in both]
    return (
        f"Over these, Torch-Pruning takes {median(ratios):.1f} times as long as the analysis (median; "
        f"{min(ratios):.1f} to {max(ratios):.1f}), and {median(whole):.1f} times as long as shapes and "
        f"analysis together ({min(whole):.1f} to {max(whole):.1f}).\n"
    )


def _linearity(stacks: dict[str, list[tuple[int, int, float]]]) -> str:
    lines = [
        "## Time against size\n",
        "Stacks of equal blocks; the time for each node does not grow with the graph.\n",
        "| stack | blocks | nodes | analysis | for each node |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, rows in stacks.items():
        for blocks, nodes, seconds in rows:
            each = f"{seconds / nodes * 1e6:.0f} µs"
            lines.append(f"| {name} | {blocks} | {nodes} | {seconds * 1000:.0f} ms | {each} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
