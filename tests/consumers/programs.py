"""Stand-ins for other programs: one that is right, and those that go wrong in every way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.consumers.tools import Arrays, _in_runtime

Batches = Sequence[Mapping[str, np.ndarray[Any, Any]]]


def right(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    return _in_runtime(model, batches)


def shifted(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    return [{n: a + 0.5 for n, a in found.items()} for found in right(model, batches, folder)]


def silent(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    return [{n: np.full_like(a, np.nan) for n, a in found.items()} for found in right(model, batches, folder)]


def refusing(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    raise NotImplementedError("no Gemm\nhere")


def crashing(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return []


def leaving(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    os._exit(7)


def endless(model: Path, batches: Batches, folder: Path) -> list[Arrays]:
    while True:
        time.sleep(0.1)
