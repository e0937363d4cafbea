"""Ctrl-C at any moment leaves nothing behind: no result, no half of one, no temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from graphprune import finish, pipeline

STEPS = (
    (pipeline, "load"),
    (pipeline, "normalise"),
    (pipeline, "prepare_normal"),
    (pipeline, "decide"),
    (finish, "rewrite"),
    (finish, "check_contract"),
    (finish, "check_file"),
    (finish, "check_equivalence"),
    (finish, "measure_fidelity"),
    (finish, "interleaved"),
    (finish, "save"),
)


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("module", "step"), STEPS, ids=[s for _, s in STEPS])
def test_in_a_stage(
    module: ModuleType,
    step: str,
    cli: Any,
    small_path: Path,
    listing: Any,
    private_temp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = listing()
    monkeypatch.setattr(module, step, _interrupt)
    done = cli(small_path, "--quiet", "--json", small_path.with_name("report.json"))
    assert done.code == 130
    assert done.err.strip() == "graphprune: interrupted; nothing was written"
    assert listing() == before
    assert not list(private_temp.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_while_writing(
    call: str, cli: Any, small_path: Path, listing: Any, private_temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing()
    monkeypatch.setattr(os, call, _interrupt)
    assert cli(small_path, "--quiet").code == 130
    assert listing() == before
    assert not list(private_temp.iterdir())


def test_a_real_signal(bundled: Callable[[str], Path], tmp_path: Path) -> None:
    temporary, work = tmp_path / "temporary", tmp_path / "work"
    temporary.mkdir()
    work.mkdir()
    command = [Path(sys.executable).with_name("graphprune"), bundled("vit"), "-o", work / "out.onnx"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert first.startswith("load")
    assert running.returncode == 130, rest
    assert rest.rstrip("\n").endswith("graphprune: interrupted; nothing was written")
    assert "Traceback" not in rest
    assert not list(work.iterdir())
    assert not [p.name for p in temporary.iterdir() if p.name != ".ses"]  # ONNX Runtime's own, made on import
