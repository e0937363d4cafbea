"""Load time and peak memory: each model in a process of its own, as nothing else can tell them apart."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from graphprune.errors import ModelError
from graphprune.runtime import storage


def measure_fresh(
    path: Path, feeds: Mapping[str, NDArray[Any]], provider: str, threads: int | None
) -> dict[str, Any]:
    """Load time, time of the first run and peak memory of one model.

    Returns:
        `load_ms`, `first_run_ms`, `peak_bytes` of the process, and `model_bytes`, what the model added to
        it; null where the system does not tell.

    Raises:
        ModelError: the process failed; its last words are in the message.
    """
    folder = storage.private_folder()
    try:
        asked, found = folder / "asked", folder / "found"
        asked.write_bytes(pickle.dumps((path, dict(feeds), provider, threads)))
        command = [sys.executable, "-m", "graphprune.benchmark.child", str(asked), str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not found.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise ModelError(f"{path} could not be measured in a process of its own: {lines[-1]}")
        data: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return data
    finally:
        storage.remove_folder(folder)
