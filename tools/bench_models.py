"""Speed of the bundled models at half their multiply-adds, against what those promise -> docs/bench.md.

    python tools/bench_models.py                       all models, roundings 1, 16 and auto
    python tools/bench_models.py --models vit --batches 1,32

Times are processor times of one thread. The column "outside" is a plain loop over onnxruntime, without any of
graphprune's code.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import graphprune
from graphprune.runtime.environment import environment
from graphprune.runtime.kernels import measured_kernels

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "models"))
import evaluate as bundled  # noqa: E402

ROUNDINGS: tuple[int | str, ...] = (1, 16, "auto")
# A shape of each input at batch 1, where the model leaves more than the batch free.
SHAPES = {"unet": {"scene": (1, 1, 40, 40)}, "bilstm": {"tokens": (1, 32)}, "textformer": {"bytes": (1, 256)}}


def measure(name: str, batches: Sequence[int], seconds: float, work: Path) -> dict[str, Any]:
    """Prune one model in every way, and time all of them side by side."""
    path = ROOT / "models" / f"{name}.onnx"
    calib = bundled.calibration(path)
    files, quality = [path], [float(bundled.evaluate(path)["value"])]
    for rounding in ROUNDINGS:
        out = work / f"{name}.{rounding}.onnx"
        graphprune.prune(path, target="macs=0.5", calib=calib, round_to=rounding, output=out)
        files.append(out)
        quality.append(float(bundled.evaluate(out)["value"]))
    found = graphprune.bench(
        *files,
        batch=batches,
        shape=SHAPES.get(name),
        threads=1,
        runs=1000,
        seconds=seconds,
        memory=False,
        cpu_time=True,
    )
    for point in found["points"]:
        shapes = point["shapes"]
        feeds = {k: np.resize(v, shapes[k]).astype(v.dtype) for k, v in calib.items()}
        point["outside"] = outside(files, feeds, seconds)
    return {"quality": quality, "bench": found}


def outside(files: Sequence[Path], feeds: Mapping[str, Any], seconds: float) -> list[float]:
    """How many times faster than the first each file is, by a plain loop over the runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(str(f), options) for f in files]
    times: list[list[float]] = [[] for _ in files]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times[0]) < 10:
        for session, found in zip(sessions, times, strict=True):
            start = time.thread_time()
            session.run(None, feeds)
            found.append(time.thread_time() - start)
    middles = [statistics.median(t[len(t) // 10 :]) for t in times]
    return [middles[0] / m for m in middles]


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The document."""
    here, kernels = environment(), measured_kernels("cpu", 1)
    steps = ", ".join(f"{op} {step}" for op, step in kernels.steps.items())
    lines = [
        "# Speed of the bundled models at half their multiply-adds",
        "",
        f"Made by `tools/bench_models.py` on {here.cpu} ({here.cores} cores, one thread used; "
        f"{', '.join(here.flags)}), onnxruntime {here.packages.get('onnxruntime', '')}.",
        "Models were pruned with `--target macs=0.5` and their calibration inputs. Other programs may have",
        "run on the machine, so this is processor time, and ratios of interleaved runs are what counts.",
        "",
        "- *MACs*: how many times fewer multiply-adds, which is the speed-up that they promise",
        "- *speed-up*: ratio of the medians, with the interval that holds it with 95 % confidence",
        "- *reached*: the speed-up as a share of the promised one",
        "- *outside*: the speed-up by a plain loop over onnxruntime, on other inputs, at another time",
        "- *quality*: what [accuracy.md](accuracy.md) measures, before and after",
        "",
        f"Steps that `--round-to auto` found on this machine: {steps}.",
        "",
        "| model | rounding | batch | MACs | speed-up | reached | outside | quality |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, entry in found.items():
        for place, rounding in enumerate(ROUNDINGS, start=1):
            for point in entry["bench"]["points"]:
                r = point["ratios"][place - 1]
                lines.append(
                    f"| {name} | {rounding} | {point['batch']} | {r['macs_ratio']:.2f} "
                    f"| {r['speedup']:.2f} ({r['low']:.2f} to {r['high']:.2f}) | {r['share']:.0%} "
                    f"| {point['outside'][place]:.2f} "
                    f"| {entry['quality'][0]:.3f} -> {entry['quality'][place]:.3f} |"
                )
    lines += ["", *_summary(found), "", *_elsewhere(found)]
    return "\n".join(lines) + "\n"


def _summary(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Worst shares for each rounding and batch size, and how far the outside timing is off."""
    heads = (
        "rounding",
        "batch",
        "smallest share reached",
        "median share",
        "outside timing differs by at most",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---:|---:|---:|---:|"]
    batches = [p["batch"] for p in next(iter(found.values()))["bench"]["points"]]
    for place, rounding in enumerate(ROUNDINGS):
        for k, batch in enumerate(batches):
            points = [e["bench"]["points"][k] for e in found.values()]
            shares = [p["ratios"][place]["share"] for p in points]
            off = [abs(p["outside"][place + 1] / p["ratios"][place]["speedup"] - 1) for p in points]
            lines.append(
                f"| {rounding} | {batch} | {min(shares):.0%} | {statistics.median(shares):.0%} "
                f"| {max(off):.0%} |"
            )
    return lines


def _elsewhere(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What does not multiply, and so takes its time whatever the multiply-adds are."""
    lines = [
        "Time outside the multiplying layers, about which multiply-adds promise nothing (largest batch):",
        "",
    ]
    lines += ["| model | of the original | of the model pruned with auto |", "|---|---:|---:|"]
    for name, entry in found.items():
        last = entry["bench"]["comparisons"][-1]["elsewhere_ms"]
        runs = [p["kernels_ms"] for p in entry["bench"]["profiles"]]
        lines.append(f"| {name} | {last['before'] / runs[0]:.0%} | {last['after'] / runs[-1]:.0%} |")
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", default="", help="names, by comma; all by default")
    parser.add_argument("--batches", default="1,32", help="by comma")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each model and batch size")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, default=ROOT / "docs/bench.md")
    args = parser.parse_args()
    every = sorted(json.loads((ROOT / "models/models.json").read_text()))
    names = [n for n in args.models.split(",") if n] or every
    batches = [int(b) for b in args.batches.split(",")]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            found[name] = measure(name, batches, args.seconds, Path(folder))
            for point in found[name]["bench"]["points"]:
                shares = [f"{r['speedup']:.2f} of {r['macs_ratio']:.2f}" for r in point["ratios"]]
                print(name, point["batch"], shares, [round(x, 2) for x in point["outside"][1:]], flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    args.markdown.write_text(page(found))


if __name__ == "__main__":
    main()
