"""Prunes every model in some folders without hints and writes a table of what came of it.

Each file is pruned in a process of its own (ratio 0.5, mask equivalence on, no latency); one that fails or
hangs is a row with a reason. The records go to a JSON file as they come, so a stopped run goes on where it
was: files whose size and date have not changed are skipped unless --again says otherwise.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from coverage_table import page

WORKER = Path(__file__).with_name("prune_one.py")
SKIPPED = "broken"  # where the exporter puts files that do not run


@dataclass(frozen=True, slots=True)
class File:
    """A model to prune and the name it has in the table."""

    name: str
    path: Path

    @property
    def stamp(self) -> list[int]:
        """Size and date: equal as long as the file is."""
        status = self.path.stat()
        return [status.st_size, status.st_mtime_ns]


class Records:
    """The JSON file: a record by name, written after every change."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, name: str, record: Mapping[str, Any]) -> None:
        """Store a record; no reader sees half of one."""
        with self._lock:
            self.all[name] = record
            partial = self._path.with_name(self._path.name + ".part")
            partial.write_text(json.dumps(self.all, indent=1))
            partial.replace(self._path)


def main() -> None:
    """Do what the command line asks for."""
    options = _options()
    files = sorted(_files(options.folders), key=lambda f: f.path.stat().st_size)
    records = Records(options.json)
    todo = [f for f in files if _wanted(f, records.all.get(f.name), options)]
    print(f"{len(todo)} of {len(files)} files to prune", flush=True)

    def one(file: File) -> None:
        record = _prune(file, options.timeout)
        records.add(file.name, {**record, "stamp": file.stamp})
        why = record.get("error", "")[:150]
        print(f"{record['status']:12} {record['seconds']:6.1f} s  {file.name}  {why}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, todo))
    there = {f.name for f in files}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rivals = json.loads(options.rivals.read_text()) if options.rivals else {}
    options.out.write_text(page({n: r for n, r in records.all.items() if n in there}, rivals))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="searched for .onnx files")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files at the same time")
    parser.add_argument("--out", type=Path, default=Path("docs/coverage.md"), metavar="FILE", help="the page")
    parser.add_argument(
        "--json", type=Path, default=Path("coverage.json"), metavar="FILE", help="the records"
    )
    parser.add_argument("--rivals", type=Path, metavar="FILE", help="records of rivals.py, for its columns")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds for one file")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names, e.g. 'zoo/hf_*'")
    parser.add_argument(
        "--again",
        nargs="?",
        const="all",
        choices=["all", "unequal"],
        help="prune again what has a record: everything, or what did not come out equal",
    )
    return parser.parse_args()


def _files(folders: list[Path]) -> Iterator[File]:
    for folder in folders:
        for path in folder.rglob("*.onnx"):
            inside = path.relative_to(folder)
            if SKIPPED not in inside.parts and not any(part.startswith(".") for part in inside.parts):
                yield File(f"{folder.resolve().name}/{inside.as_posix()}", path)


def _wanted(file: File, known: Mapping[str, Any] | None, options: argparse.Namespace) -> bool:
    if not fnmatch.fnmatch(file.name, options.only):
        return False
    if known is None or known["stamp"] != file.stamp or options.again == "all":
        return True
    return bool(options.again == "unequal" and known["status"] != "equal")


def _prune(file: File, timeout_s: float) -> dict[str, Any]:
    """Run the worker and return its record, or one that says how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "record.json"
        command = [sys.executable, str(WORKER), str(file.path), str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": folder}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False
            )
        except subprocess.TimeoutExpired:
            return {"status": "failed", "error": f"not finished after {timeout_s:g} s", "seconds": timeout_s}
        if result.exists():
            return dict(json.loads(result.read_text()))
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return {
            "status": "failed",
            "error": f"ended with code {done.returncode}: {last[0]}"[:600],
            "seconds": 0.0,
        }


if __name__ == "__main__":
    main()
