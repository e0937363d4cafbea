"""Measures the largest memory of the whole command against the weights, and which stage needs it.

    python tools/memory.py                             half of every group by weights alone
    python tools/memory.py resnet50 --images 256       half of the multiply-adds by the default recipe

Every network is exported once and pruned in a process of its own; the kernel's high-water mark of resident
memory is reset at the start of every stage (Linux only). Needs torch and torchvision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
ZOO = Path(__file__).parent / "zoo"

MIB = 1 << 20
NAMES = ("resnet50", "vit_b_16", "vgg11_bn")


@dataclass(slots=True)
class Marks:
    """High-water marks of resident memory by stage, in bytes."""

    peaks: dict[str, int]
    stage: str = "start"
    seconds: dict[str, float] = field(default_factory=dict)
    since: float = 0.0

    def start(self, stage: str) -> None:
        """Close the stage under way and begin the next one."""
        self.peaks[self.stage] = max(self.peaks.get(self.stage, 0), _status("VmHWM"))
        now = time.process_time()
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self.since
        self.since = now
        Path("/proc/self/clear_refs").write_text("5")  # sets the mark to what is resident now
        self.stage = stage


def main() -> None:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help=f".onnx files, or of {', '.join(NAMES)}")
    parser.add_argument("--batch", type=int, help="a fixed batch instead of an open one")
    parser.add_argument(
        "--images", type=int, default=0, help="learn from so many made-up pictures of 224 x 224"
    )
    parser.add_argument("--worker", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_worker(options.worker, options.images)))
        return
    print("| model | weights | imports alone | peak | above imports / weights | stages (peak, processor) |")
    print("|---|---:|---:|---:|---:|---|")
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(name) if name.endswith(".onnx") else _exported(name, Path(folder), options.batch)
            print(_row(Path(name).name, _measured(path, options.images)), flush=True)


def _measured(path: Path, images: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", str(path), "--images", str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _row(name: str, found: dict[str, Any]) -> str:
    peaks, weights, base = found["peaks"], found["weights"], found["base"]
    peak = max(peaks.values())
    seconds = found["seconds"]
    stages = ", ".join(
        f"{stage} {value / MIB:.0f} MiB {seconds[stage]:.0f} s" for stage, value in peaks.items()
    )
    share = (peak - base) / weights
    return (
        f"| {name} | {weights / MIB:.0f} MiB | {base / MIB:.0f} MiB | {peak / MIB:.0f} MiB "
        f"| {share:.1f} | {stages} |"
    )


def _worker(path: Path, images: int) -> dict[str, Any]:
    """Prune the file as the command does and return the marks."""
    import onnxruntime  # noqa: F401  (part of the interpreter's own base)

    from graphprune.decide import Options, parse_targets
    from graphprune.inputs import Wanted
    from graphprune.pipeline import run_pipeline
    from graphprune.run import Settings

    marks = Marks({})
    base = _status("VmRSS")
    options = Options(ratio=0.5, recipe="plain")
    wanted = Wanted()
    if images:
        options = Options(ratio=None, targets=parse_targets(["macs=0.5"]), recipe="auto")
        wanted = Wanted({"image": pictures(images)})
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pruned.onnx"
        settings = Settings(output=output, benchmark=False, progress=marks.start, wanted=wanted)
        run = run_pipeline(path, options, settings)
    marks.start("end")
    return {
        "peaks": marks.peaks,
        "seconds": marks.seconds,
        "base": base,
        "weights": run.decision.before.weight_bytes,
    }


def pictures(count: int, size: int = 224) -> np.ndarray:
    """Random pictures with the spectrum of photographs, mean zero and deviation one."""
    random = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]
    spectrum = 1 / np.sqrt(rows**2 + columns**2 + 1e-4)
    found = np.empty((count, 3, size, size), np.float32)
    for k in range(count):
        found[k] = np.fft.ifft2(np.fft.fft2(random.standard_normal((3, size, size))) * spectrum).real
    found -= found.mean()
    found /= found.std()
    return found


def _status(key: str) -> int:
    """A size of this process in bytes, e.g. VmHWM or VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}: this tool needs Linux")


def _exported(name: str, folder: Path, batch: int | None) -> Path:
    """Export in another process, whose memory does not count."""
    path = folder / f"{name}.onnx"
    call = f"import memory; memory.export({name!r}, {str(path)!r}, {batch!r})"
    subprocess.run([sys.executable, "-c", call], check=True, capture_output=True, cwd=Path(__file__).parent)
    return path


def export(name: str, path: str, batch: int | None) -> None:
    """Write torchvision's network of this name, with an open batch unless one is given.

    Its weights are random, its statistics of normalisation those of made-up pictures.
    """
    sys.path.insert(0, str(ZOO))
    import randomise
    import tweaks

    tweaks.apply(())
    import torch
    import torchvision

    module = torchvision.models.get_model(name, weights=None).eval()
    randomise.randomise(module, (torch.from_numpy(pictures(8)),), 0)
    axes = {"image": {0: "batch"}} if batch is None else None
    image = torch.randn(batch or 1, 3, 224, 224)
    with torch.no_grad():
        torch.onnx.export(module, (image,), path, dynamo=False, input_names=["image"], dynamic_axes=axes)


if __name__ == "__main__":
    main()
