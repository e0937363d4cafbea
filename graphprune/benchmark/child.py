"""The process in which one model is opened and run once: `python -m ....child ASKED FOUND`."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
import time
from pathlib import Path

from graphprune.runtime.ort import onnxruntime
from graphprune.runtime.session import open_session


def peak_bytes() -> int | None:
    """Most memory that this process has had; None where the system does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        # Not `getrusage`: on Linux that starts from the size of the process which started this one.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(asked: Path, found: Path) -> None:
    """Read what to do, do it, write what came out."""
    path, feeds, provider, threads = pickle.loads(asked.read_bytes())
    onnxruntime()
    empty = peak_bytes()
    start = time.perf_counter()
    with open_session(path, provider=provider, threads=threads) as session:
        opened = time.perf_counter()
        session.bound(feeds)()
        ran = time.perf_counter()
    peak = peak_bytes()
    data = {
        "load_ms": (opened - start) * 1e3,
        "first_run_ms": (ran - opened) * 1e3,
        "peak_bytes": peak,
        "model_bytes": None if peak is None or empty is None else peak - empty,
    }
    found.write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
