"""Points on disk: `--resume FILE` keeps those of every question that was asked, each under a digest of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphprune.decide import Options
from graphprune.errors import OutputError, UsageError
from graphprune.inputs import Wanted
from graphprune.pipeline import Workbench, versions
from graphprune.search.curve import Point
from graphprune.search.quality import Quality

FORMAT = 1
# What changes results; the others only read and write files.
_PACKAGES = ("graphprune", "numpy", "onnxruntime", "onnxruntime-gpu")


class Store:
    """The points of one question.

    Attributes:
        original: quality of the original, if known.
        points: in the order they were measured.
    """

    def __init__(self, path: Path | None, key: str, about: Mapping[str, Any]) -> None:
        """Read what is known.

        Raises:
            UsageError: the file is something else.
        """
        self._path, self._key, self._about = path, key, about
        self._data: dict[str, Any] = {"format": FORMAT, "searches": {}}
        self.original: float | None = None
        self.points: list[Point] = []
        if path is not None and path.exists():
            self._read(path)

    def add(self, *points: Point) -> None:
        """Remember points, on disk too."""
        self.points += points
        if self._path is None:
            return
        self._data["searches"][self._key] = {
            "about": dict(self._about),
            "original": self.original,
            "points": [asdict(p) for p in self.points],
        }
        aside = self._path.with_name(self._path.name + ".part")
        try:
            aside.write_text(json.dumps(self._data, indent=1) + "\n", encoding="utf-8")
            os.replace(aside, self._path)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from None

    def _read(self, path: Path) -> None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']}")
            known = data["searches"].get(self._key, {})
            self.points = [Point.read(p) for p in known.get("points", ())]
            self.original = known.get("original")
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path} holds no points of a search ({error}): give another file to --resume"
            ) from None
        self._data = data


def question(
    bench: Workbench, options: Options, wanted: Wanted, quality: Quality, minimise: str
) -> tuple[str, dict[str, Any]]:
    """A digest of everything that points depend on, and what of it people want to read.

    The limit itself is no part of it: another limit asks the same points.
    """
    asked = {k: v for k, v in asdict(options).items() if k not in ("targets", "ratio")}
    packages = {k: v for k, v in versions().items() if k in _PACKAGES}
    about = {
        "model": None if bench.source.path is None else str(bench.source.path),
        "metric": quality.name,
        "judged_on": quality.judged_on,
        "minimise": minimise,
        "options": {k: v for k, v in asked.items() if v not in (None, (), {}, "")},
        "packages": packages,
    }
    parts = (
        bench.structure,
        _digest([(n, t.numpy()) for n, t in sorted(bench.analysis.facts.weights.items())]),
        _digest(_inputs(bench)),
        json.dumps(asked, sort_keys=True, default=str),
        repr((wanted.aside, wanted.noise, wanted.memory, minimise, quality.identity, packages)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest(), about


def _inputs(bench: Workbench) -> list[tuple[str, Any]]:
    inputs = bench.inputs
    if inputs is None:
        return []
    return [item for batch in (*inputs.calibration.batches, *inputs.judges) for item in sorted(batch.items())]


def _digest(arrays: Sequence[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
