"""Exports the zoo: every architecture of the table by both of torch's exporters, each in its own process.

Writes OUT/<name>.<exporter>.onnx, OUT/index.json (for each: status, seconds, nodes, error, operators,
how far ONNX Runtime is from torch) and OUT/ops_count.txt. Files that exist are skipped, so a stopped run goes
on where it was; failures are recorded, tried again by the next run, and never stop one. Files that export but
fail the check go to OUT/broken/. Needs torch, torchvision, timm, transformers, onnxscript and onnxruntime.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from architectures import architectures
from case import Architecture
from children import ChildError, Children
from ops_count import table
from worker import export

EXPORTERS = ("torchscript", "dynamo")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said."""

    out: Path
    only: tuple[str, ...]
    exporters: tuple[str, ...]
    init: str
    opset: int | None
    timeout_s: float
    jobs: int
    ops_count: Path
    retry: bool


class Index:
    """OUT/index.json: a record by file name, written after every change."""

    def __init__(self, settings: Settings) -> None:
        self._path, self._ops_path, self._lock = settings.out / "index.json", settings.ops_count, Lock()
        self.records: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Store a record, and write the index and the operator table so that no reader sees half of one."""
        with self._lock:
            self.records[name] = record
            _replace(self._path, json.dumps(self.records, indent=1))
            _replace(self._ops_path, table(self.records))


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    partial.replace(path)


def main() -> None:
    """Run the exports that the command line asks for."""
    settings = _settings()
    settings.out.mkdir(parents=True, exist_ok=True)
    index, children = Index(settings), Children(["imported", "worker", "onnx"])
    todo = list(_todo(settings, index))
    print(f"{len(todo)} exports to do", flush=True)
    with ThreadPoolExecutor(settings.jobs) as pool:
        for job in [pool.submit(_export, settings, children, index, *job) for job in todo]:
            job.result()
    good = sum(record["status"] == "ok" for record in index.records.values())
    print(f"done: {good} of {len(index.records)} files are good", flush=True)


def _settings() -> Settings:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the exported files")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PATTERN",
        help="architectures, e.g. 'hf_*'; given again, the first pattern's come first",
    )
    parser.add_argument("--exporter", choices=[*EXPORTERS, "both"], default="both")
    parser.add_argument(
        "--init", choices=["random", "default"], default="random", help="weights (default: random)"
    )
    parser.add_argument("--opset", type=int, help="instead of 17 for torchscript, 20 for dynamo")
    parser.add_argument(
        "--timeout", type=float, default=240, metavar="S", help="processor seconds for one export"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="exports at the same time")
    parser.add_argument("--ops-count", type=Path, metavar="FILE", help="instead of OUT/ops_count.txt")
    parser.add_argument("--no-retry", action="store_true", help="skip what failed in an earlier run")
    a = parser.parse_args()
    return Settings(
        out=a.out.resolve(),
        only=tuple(a.only or ["*"]),
        exporters=EXPORTERS if a.exporter == "both" else (a.exporter,),
        init=a.init,
        opset=a.opset,
        timeout_s=a.timeout,
        jobs=a.jobs,
        ops_count=a.ops_count or a.out / "ops_count.txt",
        retry=not a.no_retry,
    )


def _todo(settings: Settings, index: Index) -> Iterator[tuple[Architecture, str]]:
    for row in _chosen(settings.only):
        for exporter in settings.exporters:
            file = f"{row.name}.{exporter}.onnx"
            known = index.records.get(file, {}).get("status")
            finished = known == "ok" and (settings.out / file).exists()
            refused = known is not None and known != "ok" and not settings.retry
            if exporter in row.only and not finished and not refused:
                yield row, exporter


def _chosen(patterns: tuple[str, ...]) -> Iterator[Architecture]:
    """Yield the rows that match a pattern, each once, in the order of the patterns and then of the table."""
    rows = architectures()
    for pattern in patterns:
        for name in fnmatch.filter(list(rows), pattern):
            yield rows.pop(name)


def _export(settings: Settings, children: Children, index: Index, row: Architecture, exporter: str) -> None:
    """Export one file, record it and print a line for the log."""
    started = time.perf_counter()
    file = f"{row.name}.{exporter}.onnx"
    with tempfile.TemporaryDirectory(dir=settings.out, prefix=".part-") as folder:
        partial = Path(folder) / "model.onnx"
        record = _in_a_process(settings, children, row, exporter, partial)
        if partial.exists() and "bytes" in record:
            target = settings.out / file if record["status"] == "ok" else settings.out / "broken" / file
            target.parent.mkdir(exist_ok=True)
            partial.replace(target)
    record = {"name": row.name, "family": row.family, "exporter": exporter, "init": settings.init, **record}
    record.setdefault("seconds", round(time.perf_counter() - started, 1))
    index.add(file, record)
    detail = record.get("error") or f"{record['nodes']} nodes, {record['bytes'] / 1e6:.1f} MB"
    line = f"{record['status']:13} {record['seconds']:6.1f} s  {file}: {' '.join(str(detail).split())[:160]}"
    print(line, flush=True)


def _in_a_process(
    settings: Settings, children: Children, row: Architecture, exporter: str, partial: Path
) -> dict[str, Any]:
    wanted = {"name": row.name, "exporter": exporter, "init": settings.init, "opset": settings.opset}
    try:
        return children.run(export, json.dumps({**wanted, "file": str(partial)}), settings.timeout_s)
    except TimeoutError as error:
        return {"status": "timeout", "error": str(error)}
    except ChildError as error:
        return {"status": "crashed", "error": str(error)}


if __name__ == "__main__":
    main()
