"""Prunes a model of several gigabytes and measures time and memory (Linux only).

A decoder is written to disk piece by piece (tools/decoder.py), then analysed and pruned, each in a process
of its own. Memory is what the process itself holds (`RssAnon` of /proc/self/status, read every few
milliseconds): pages of files that are mapped belong to the page cache, which the kernel takes back at any
time, and do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

MIB = 1 << 20
EVERY_S = 0.005


class Watch:
    """Largest anonymous memory and seconds of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._stage, self._start, self._processor, self._ended = "", 0.0, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.base = anonymous_bytes()
        self._thread.start()

    def start(self, stage: str) -> None:
        """End the stage under way and begin the next one; "" begins none."""
        self._note()
        now, processor = time.perf_counter(), time.process_time()
        if self._stage:
            self.stages[self._stage]["seconds"] += now - self._start
            self.stages[self._stage]["processor"] += processor - self._processor
        if stage:
            self.stages.setdefault(stage, {"seconds": 0.0, "processor": 0.0, "peak": 0.0})
        self._stage, self._start, self._processor = stage, now, processor

    def stop(self) -> None:
        """End everything."""
        self.start("")
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._note()

    def _note(self) -> None:
        with suppress(KeyError):
            entry = self.stages[self._stage]
            entry["peak"] = max(entry["peak"], float(anonymous_bytes()))


def anonymous_bytes() -> int:
    """Memory that only this process holds; mapped files and the page cache are not in it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this tool needs Linux")


def main() -> None:
    """Generate, analyse and prune as the command line says and write the page."""
    options = _options()
    if options.worker:
        print(json.dumps(WORK[options.worker](Path(options.files[0]), options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(options.files[0]) if options.files else Path(folder) / "big.onnx"
        if not options.files:
            started = time.perf_counter()
            found = _in_a_process("generate", path, options, folder)
            print(f"{_mib(found['weights'])} in {time.perf_counter() - started:.0f} s", flush=True)
        rows = {}
        for work in ("analyse", "prune", *(("verify",) if options.verify else ())):
            rows[work] = _in_a_process(work, path, options, folder)
            print(work, json.dumps(rows[work]), flush=True)
    if options.out:
        options.out.write_text(_page(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="MODEL", help="instead of a generated decoder")
    parser.add_argument("--layers", type=int, default=28, metavar="N", help="100 MB each (default: 28)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the files go (default: temporary)")
    parser.add_argument("--verify", action="store_true", help="also prune with the check of mask equivalence")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a page of results")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(work: str, path: Path, options: argparse.Namespace, folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", work, "--layers", str(options.layers), str(path)]
    environment = {**os.environ, "TMPDIR": folder}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{work} ended with code {done.returncode}:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# -- what the processes do ----------------------------------------------------------------------


def _generate(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    from decoder import Size, write_decoder

    size = Size(layers=options.layers)
    write_decoder(path, size)
    return {"weights": size.weight_bytes}


def _analyse(path: Path, _: argparse.Namespace) -> dict[str, Any]:
    import onnxruntime  # noqa: F401  (part of the interpreter's own base)

    from graphprune.analysis import CostModel, analyse_model
    from graphprune.load import load
    from graphprune.normalise import normalise
    from graphprune.runtime.record import record

    watch = Watch()
    watch.start("load")
    source = load(path)
    watch.start("normalise")
    normal = normalise(source.model)
    watch.start("shapes")
    recording = record(normal)
    watch.start("analyse")
    analysis = analyse_model(normal, recording)
    watch.stop()
    cost = CostModel(analysis).cost()
    return {
        "base": watch.base,
        "stages": watch.stages,
        "weights": cost.weight_bytes,
        "nodes": len(analysis.facts.nodes),
        "groups": len(analysis.groups),
        "method": recording.method,
        "note": recording.note,
    }


def _prune(path: Path, _: argparse.Namespace, verify: bool = False) -> dict[str, Any]:
    import onnxruntime  # noqa: F401

    from graphprune.decide import Options
    from graphprune.pipeline import run_pipeline
    from graphprune.run import Settings

    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pruned.onnx"
        settings = Settings(output=output, verify=verify, benchmark=False, progress=watch.start)
        run = run_pipeline(path, Options(ratio=0.5, recipe="plain"), settings)
        files = {file.name: file.stat().st_size for file in Path(folder).glob("pruned.onnx*")}
    watch.stop()
    return {
        "base": watch.base,
        "stages": watch.stages,
        "weights": run.decision.before.weight_bytes,
        "after": run.decision.after.weight_bytes,
        "files": files,
        "equivalence": run.equivalence.status,
        "error": run.equivalence.error,
    }


def _verify(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    return _prune(path, options, verify=True)


WORK: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "generate": _generate,
    "analyse": _analyse,
    "prune": _prune,
    "verify": _verify,
}


# -- the page -----------------------------------------------------------------------------------


def _page(rows: dict[str, dict[str, Any]]) -> str:
    return "\n".join([_head(rows), _stages(rows), _summary(rows)])


def _head(rows: dict[str, dict[str, Any]]) -> str:
    from graphprune.runtime.environment import environment

    found, analysed = environment(), rows["analyse"]
    return f"""# Models larger than memory

Made by `tools/big.py` on {found.cpu} ({found.cores} cores, other work beside it), Python
{found.python}, ONNX Runtime {found.packages["onnxruntime"]}. It writes a decoder (rotary positions, grouped
queries, gated feed-forward, tied embedding, free batch and sequence) with {analysed["weights"] / 1e9:.2f} GB
of weights to the disk, piece by piece, analyses it, and prunes half of its heads and neurons:
{analysed["nodes"]} nodes, {analysed["groups"]} groups.

*Memory* is what a process holds by itself beyond the {_mib(analysed["base"])} of the interpreter and its
libraries: `RssAnon` of `/proc/self/status`, read every {EVERY_S * 1000:.0f} ms. Pages of mapped files are in
the page cache, which the system takes back whenever it needs room, and are not counted. *Processor* is the
time of this process alone; *wall* includes waiting for the disk and for other programs.

- Recording shapes runs the model with stand-ins for its large weights (`graphprune/runtime/standins.py`):
  no weight is read for it.
- A criterion looks at one weight at a time, and the rewriter cuts each when it is written.
- The check of mask equivalence writes the masked original and the pruned model to temporary files, from which
  ONNX Runtime maps them; it needs room on the disk for both, and the time to run both.
"""


def _stages(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["| run | stage | processor | wall | memory |", "|---|---|---:|---:|---:|"]
    for work, row in rows.items():
        for stage, entry in row["stages"].items():
            lines.append(
                f"| {work} | {stage} | {entry['processor']:.2f} s | {entry['seconds']:.2f} s "
                f"| {_mib(entry['peak'] - row['base'])} |"
            )
    return "\n".join(lines) + "\n"


def _summary(rows: dict[str, dict[str, Any]]) -> str:
    analysed, pruned = rows["analyse"], rows["prune"]
    peak = max(entry["peak"] for entry in pruned["stages"].values()) - pruned["base"]
    files = ", ".join(f"`{name}` {size / 1e6:.1f} MB" for name, size in sorted(pruned["files"].items()))
    lines = [
        f"- from the file to the groups: {_total(analysed, 'processor'):.2f} s of processor time "
        f"({_total(analysed, 'seconds'):.2f} s wall), the dependency analysis itself "
        f"{analysed['stages']['analyse']['processor']:.2f} s",
        f"- pruned from {pruned['weights'] / 1e9:.2f} to {pruned['after'] / 1e9:.2f} GB in "
        f"{_total(pruned, 'seconds'):.0f} s with {_mib(peak)} of memory; written: {files}",
    ]
    if checked := rows.get("verify"):
        peak = max(entry["peak"] for entry in checked["stages"].values()) - checked["base"]
        lines.append(
            f"- with the check of mask equivalence: {checked['equivalence']}, error {checked['error']:.1e}; "
            f"{_total(checked, 'seconds'):.0f} s and {_mib(peak)} of memory"
        )
    return "\n".join(lines) + "\n"


def _total(row: dict[str, Any], key: str) -> float:
    return float(sum(entry[key] for entry in row["stages"].values()))


def _mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"


if __name__ == "__main__":
    main()
