"""Files of a command: nothing takes the place of something else, and all appear together or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

Listing = Callable[[], dict[str, bytes]]
QUICK = ("--recipe", "plain", "--no-benchmark", "--quiet")
LOADER = "def inputs():\n    return []\n\n\ndef quality(predict):\n    return 1.0\n"


@pytest.fixture
def folder(small_path: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and all that a command may read beside it."""
    monkeypatch.chdir(tmp_path)
    onnx.save(
        onnx.load(small_path),
        "big.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    np.savez("calib.npz", x=np.zeros((4, 8), np.float32))
    os.mkdir("inputs")
    shutil.copy("calib.npz", "inputs")
    Path("loader.py").write_text(LOADER)
    Path("options.toml").write_text("ratio = 0.25\n")
    os.symlink("small.onnx", "link.onnx")
    os.link("small.onnx", "hard.onnx")
    done = cli("small.onnx", *QUICK, "-o", "done.onnx", "--plan", "plan.json", "--json", "run.json")
    assert done.code == 0, done.err
    return tmp_path


REPLACES = [
    *(f"small.onnx {option} small.onnx" for option in ("--json", "--plan", "--report", "--overlay")),
    "small.onnx --min-fidelity 0.9 --resume small.onnx",
    "small.onnx --json ./small.onnx",
    "small.onnx --json link.onnx",
    "small.onnx --json hard.onnx",
    "link.onnx --json small.onnx",
    "big.onnx --json weights.bin",
    "small.onnx --force -o small.onnx --json small.onnx",
    "small.onnx --dry-run --json small.onnx",
    "small.onnx --calib calib.npz --json calib.npz",
    "small.onnx --calib calib.npz -o calib.npz --force",
    "small.onnx --calib inputs --json inputs/calib.npz",
    "small.onnx --calib loader.py:inputs --json loader.py",
    "small.onnx --calib loader:inputs --json loader.py",
    "small.onnx --max-drop 0.1 --metric loader.py:quality --json loader.py",
    "small.onnx --config options.toml --json options.toml",
    "small.onnx -o new.onnx --json new.onnx",
    "small.onnx -o new.onnx --json new.onnx.data",
    "small.onnx --json small.pruned.onnx",
    "small.onnx --plan p.json --json p.json",
    "small.onnx --plan p.json --json ./p.json",
    "apply plan.json small.onnx -o plan.json",
    "apply plan.json small.onnx --json plan.json",
    "apply plan.json small.onnx --json small.onnx",
    "inspect small.onnx --json small.onnx",
    "bench small.onnx done.onnx --json done.onnx",
    "verify small.onnx done.onnx --json done.onnx",
    "verify small.onnx done.onnx --plan plan.json --json plan.json",
    "eval small.onnx --metric loader.py:quality --json small.onnx",
    "eval small.onnx --metric loader.py:quality --json loader.py",
    "report run.json -o run.json",
    "report run.json -o small.onnx",
    "report run.json -o done.onnx",
    "rotate small.onnx --calib calib.npz -o calib.npz",
]  # fmt: skip


@pytest.mark.parametrize("command", REPLACES)
def test_nothing_is_replaced_that_is_read_or_written(
    command: str, folder: Path, cli: Any, listing: Listing
) -> None:
    before = listing()
    words = command.split()
    done = cli(*words)
    assert done.code == 2
    assert "would replace" in done.complaint or "the same file" in done.complaint
    assert listing() == before


@pytest.mark.parametrize(
    "command",
    [
        "report run.json -o hard.onnx.html",
        "small.onnx --json /dev/null --plan /dev/null",
        "small.onnx --dry-run -o run.json --json run.json",
        "small.onnx --json run.json --plan plan.json -o done.onnx",
    ],
)
def test_what_is_nobodys_may_be_replaced(command: str, folder: Path, cli: Any) -> None:
    options = () if "report" in command else QUICK
    done = cli(*command.split(), *options)
    assert done.code == 0, done.err


def test_a_link_to_a_report_stays_one(folder: Path, cli: Any) -> None:
    Path("old.json").write_text("old")
    os.symlink("old.json", "report.json")
    assert cli("small.onnx", *QUICK, "--json", "report.json").code == 0
    assert Path("report.json").is_symlink()
    assert Path("old.json").read_text().startswith("{")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    ("verb", "option"),
    [("prune", "--plan"), ("prune", "--json"), ("prune", "--overlay"), ("apply", "--json")],
)
def test_no_model_without_its_reports(
    verb: str, option: str, folder: Path, cli: Any, listing: Listing
) -> None:
    before = listing()
    start = ["small.onnx", "--recipe", "plain"] if verb == "prune" else ["apply", "plan.json", "small.onnx"]
    more = () if option == "--json" else ("--json", "other.json")
    done = cli(*start, "--no-benchmark", "-q", "-o", "new.onnx", *more, option, "/dev/full")
    assert done.code == 2
    assert "cannot write /dev/full" in done.complaint
    assert listing() == before
