"""Counts operators over the exported zoo: `ops_count.py OUT` prints domain:op, nodes, files, an example."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def table(records: Mapping[str, Any]) -> str:
    """Return one line an operator, the one found in most files first.

    Args:
        records: The records of index.json by file name; only those of good files count.
    """
    nodes: Counter[str] = Counter()
    files: Counter[str] = Counter()
    example: dict[str, str] = {}
    good = {name: record for name, record in records.items() if record["status"] == "ok"}
    for name, record in good.items():
        nodes.update(record["ops"])
        files.update(record["ops"].keys())
        for op in record["ops"]:
            example.setdefault(op, name)
    lines = [
        f"# {len(good)} files, {sum(nodes.values())} nodes",
        f"{'operator':42} {'nodes':>8} {'files':>6}  example",
    ]
    ranked = sorted(files, key=lambda op: (-files[op], op))
    lines += [f"{op:42} {nodes[op]:8} {files[op]:6}  {example[op]}" for op in ranked]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table for the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder that export.py wrote")
    print(table(json.loads((parser.parse_args().out / "index.json").read_text())), end="")


if __name__ == "__main__":
    main()
