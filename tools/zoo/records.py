"""What was found out, kept in the repository: JSON files, one for each collection, one line for each record.

A collection is what a name has before its first slash (`zoo`, `real`, `torch-pruning`, ...). What one machine
has found out so stays when another one goes on, and a change of one record is a change of one line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

DIGITS = 3  # of every fraction; more of them are noise, and changes in every line

Record = Mapping[str, Any]


class Records(Mapping[str, Record]):
    """The records by name; added ones are written at once."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, Lock()
        self._files = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}

    def __getitem__(self, name: str) -> Record:
        found: Record = self._files[_collection(name)][name]
        return found

    def __iter__(self) -> Iterator[str]:
        return (name for records in self._files.values() for name in records)

    def __len__(self) -> int:
        return sum(map(len, self._files.values()))

    def add(self, name: str, record: Record) -> None:
        """Keep a record in place of an older one; no reader sees half of one."""
        with self._lock:
            self._files.setdefault(_collection(name), {})[name] = _short(record)
            self._write(_collection(name))

    def forget(self, name: str) -> None:
        """Drop a record."""
        with self._lock:
            del self._files[_collection(name)][name]
            self._write(_collection(name))

    def _write(self, collection: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{collection}.json"
        if not (records := self._files[collection]):
            path.unlink(missing_ok=True)
            return
        lines = (f"{json.dumps(name)}: {json.dumps(record)}" for name, record in sorted(records.items()))
        partial = path.with_name(path.name + ".part")
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        partial.replace(path)


def _collection(name: str) -> str:
    return name.split("/")[0]


def _short(value: Any) -> Any:
    """The same with fewer digits and without what is not known.

    >>> _short({"seconds": 1.23456, "error": None, "sizes": [1, 0.00012345]})
    {'seconds': 1.23, 'sizes': [1, 0.000123]}
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items() if item is not None}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value
