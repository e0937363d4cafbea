"""Prunes every model in some folders without hints and writes a table of what came of it.

Each file is pruned in a process of its own (ratio 0.5, mask equivalence on, no latency); one that fails or
hangs is a row with a reason. The records are kept in the repository as they come, so a run goes on where an
earlier one was stopped, on whatever machine that was: files whose bytes have not changed are skipped unless
--again says otherwise, and records of files that are not here stay. The page is made of all records; without
a folder it is only made again.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from children import ChildError, Children
from coverage_table import page
from prune_one import prune_file
from records import Records

SKIPPED = "broken"  # where the exporter puts files that do not run


@dataclass(frozen=True, slots=True)
class File:
    """A model to prune and the name it has in the table."""

    name: str
    path: Path

    @property
    def stamp(self) -> str:
        """A hash of the bytes: equal as long as the file is, wherever it is made."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def main() -> None:
    """Do what the command line asks for."""
    options = _options()
    files = sorted(_files(options.folders), key=lambda f: f.path.stat().st_size)
    records = Records(options.records)
    todo = [f for f in files if _wanted(f, records.get(f.name), options)]
    print(f"{len(todo)} of {len(files)} files to prune", flush=True)

    children = Children(["prune_one", "onnxruntime"])

    def one(file: File) -> None:
        record = _prune(children, file, options.timeout)
        records.add(file.name, {**record, "stamp": file.stamp, "day": f"{datetime.now(UTC):%Y-%m-%d}"})
        why = record.get("why", "")[:150]
        print(f"{record['status']:12} {record['seconds']:6.1f} s  {file.name}  {why}", flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, todo))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(records))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="searched for .onnx files")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files at the same time")
    parser.add_argument("--out", type=Path, default=Path("docs/coverage.md"), metavar="FILE", help="the page")
    parser.add_argument(
        "--records", type=Path, default=Path("docs/coverage"), metavar="DIR", help="kept records"
    )
    parser.add_argument(
        "--timeout", type=float, default=600, metavar="S", help="processor seconds for one file"
    )
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
    if known is None or known.get("stamp") != file.stamp or options.again == "all":
        return True
    return bool(options.again == "unequal" and known["status"] != "equal")


def _prune(children: Children, file: File, timeout_s: float) -> dict[str, Any]:
    """Run the worker and return its record, or one that says how it ended."""
    start = time.perf_counter()
    try:
        return children.run(prune_file, str(file.path), timeout_s)
    except (TimeoutError, ChildError) as error:
        return {"status": "failed", "why": str(error), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()
