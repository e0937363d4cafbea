"""Processes of their own for work that may hang or die, forked from one that has imported what takes long."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
MESSAGE_CHARS = 300
PATIENCE = 20  # times as long as the processor time allowed, on a machine with other work

Record = dict[str, Any]


class ChildError(Exception):
    """A child has not given a result; the message says how it ended."""


class Children:
    """Starts children that have some modules imported already."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Take note of the modules; nothing is started before the first child."""
        known = os.environ.get("PYTHONPATH")
        os.environ.update(ENVIRONMENT, PYTHONPATH=os.pathsep.join([str(HERE), *([known] if known else [])]))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(modules))

    def run(
        self,
        work: Callable[[str], Record],
        what: str,
        timeout_s: float,
        memory_bytes: int | None = None,
    ) -> Record:
        """What `work(what)` returns in a process and with a temporary folder of its own.

        Raises:
            TimeoutError: it was not finished after so many seconds of processor time (or, hanging, after
                many times as long by the clock).
            ChildError: it ended without a result.
        """
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = self._context.Pipe(duplex=False)
            arguments = (work, what, theirs, folder, memory_bytes, ceil(timeout_s))
            child = self._context.Process(target=_child, args=arguments)
            child.start()
            theirs.close()
            try:
                if not ours.poll(timeout_s * PATIENCE):
                    raise TimeoutError(f"not finished after {timeout_s * PATIENCE:g} s by the clock")
                found: Record = ours.recv()
                return found
            except EOFError:
                child.join()
                if child.exitcode == -signal.SIGXCPU:
                    raise TimeoutError(f"not finished after {timeout_s:g} s") from None
                raise ChildError(f"ended with code {child.exitcode}: {_last_words(folder)}") from None
            finally:
                child.kill()
                child.join()
                ours.close()


def _child(
    work: Callable[[str], Record],
    what: str,
    answer: Connection,
    folder: str,
    memory_bytes: int | None,
    cpu_s: int = resource.RLIM_INFINITY,
) -> None:
    tempfile.tempdir = folder
    log = os.open(_log(folder), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, resource.RLIM_INFINITY))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    answer.send(work(what))


def _log(folder: str) -> Path:
    return Path(folder) / "said.txt"


def _last_words(folder: str) -> str:
    said = _log(folder).read_text(errors="replace").strip() if _log(folder).exists() else ""
    return said.splitlines()[-1][:MESSAGE_CHARS] if said else "no message"
