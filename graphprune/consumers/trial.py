"""One program tried on a file, in a process of its own with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.consumers.table import Consumer
from graphprune.consumers.tools import Arrays

_PACKAGES = Path(__file__).resolve().parents[2]
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it.

    Attributes:
        status: "ok", "failed" or "not installed".
        reason: why, where it is not "ok".
        outputs: for each batch, where it is "ok".
        seconds: wall time.
    """

    status: str
    reason: str = ""
    outputs: tuple[Arrays, ...] = ()
    seconds: float = 0.0


def try_consumer(consumer: Consumer, model: Path, batches: Sequence[Arrays], limit_s: float = 300.0) -> Trial:
    """Try one program.

    Args:
        consumer: which.
        model: path of the file.
        batches: inputs, arrays of numpy's own types.
        limit_s: seconds after which it is given up.
    """
    if consumer.missing:
        return Trial("not installed", f"pip install {' '.join(consumer.missing)}")
    if odd := {a.dtype.name for b in batches for a in b.values() if a.dtype.kind not in "biuf"}:
        return Trial("failed", f"inputs of type {', '.join(sorted(odd))} cannot be handed to it")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="graphprune-") as name:
        folder = Path(name)
        for number, feeds in enumerate(batches):
            np.savez(folder / f"in-{number}.npz", **feeds)  # type: ignore[arg-type]
        reason = _run(consumer.run, model, folder, limit_s)
        outputs: list[Arrays] = []
        while not reason and len(outputs) < len(batches):
            with np.load(folder / f"out-{len(outputs)}.npz") as data:
                outputs.append(dict(data))
    return Trial("failed" if reason else "ok", reason, tuple(outputs), time.perf_counter() - start)


def _run(function: Callable[..., Any], model: Path, folder: Path, limit_s: float) -> str:
    """Run the process; why it failed, or ""."""
    program = [sys.executable, "-m", "graphprune.consumers", function.__module__, function.__name__]
    paths = [str(_PACKAGES), os.environ.get("PYTHONPATH", "")]
    with (folder / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(
            [*program, str(model.resolve()), str(folder)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # so that what it starts itself ends with it
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it took longer than {limit_s:g} s"
        finally:
            _end(process)
    said = folder / "reason.txt"
    if said.exists():
        return _short(said.read_text(encoding="utf-8"))
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})"
    last = (folder / "stderr.txt").read_text(errors="replace").strip().rpartition("\n")[2]
    return "" if code == 0 else _short(last or f"it ended with exit code {code}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still running, and what it has started."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"
