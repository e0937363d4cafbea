"""Every command and every program of the guides runs, in the order of its page, on a small model.

A console block is a session: `$ graphprune …` runs in this process, `$ python …` in its own, and the number below
`$ echo $?` is the exit code of the command before it; all others end with 0.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphprune.cli import cli as group

ROOT = Path(__file__).resolve().parent.parent
GUIDES = ("quickstart", "choosing", "edge", "ci", "python")
BLOCK = re.compile(r"^( *)```(console|python|toml)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def blocks(guide: str) -> list[tuple[str, str]]:
    """Language and text of every block, in order."""
    text = (ROOT / "docs" / f"{guide}.md").read_text()
    return [
        (language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE))
        for indent, language, body in BLOCK.findall(text)
    ]


@pytest.fixture
def workplace(tmp_path: Path, small_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `model.onnx`, inputs for it, and the bundled models."""
    shutil.copy(small_path, tmp_path / "model.onnx")
    x = np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", x=x)
    (tmp_path / "models").symlink_to(ROOT / "models", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_session(text: str, cli: Any) -> int:
    """Run the commands of a console block; how many there were."""
    lines = text.splitlines()
    commands = [(n, line[2:]) for n, line in enumerate(lines) if line.startswith("$ ")]
    codes = {n: int(lines[n + 1]) for n, command in commands if command == "echo $?"}
    last = 0
    for at, (n, command) in enumerate(commands):
        words = shlex.split(command)
        if command == "echo $?":
            assert last == codes[n]
            continue
        if words[0] == "graphprune":
            done = cli(*words[1:])
            last, said = done.code, done.err
        else:
            assert words[0] == "python", f"nothing runs {command!r}"
            process = subprocess.run(
                [sys.executable, *words[1:]], capture_output=True, text=True, check=False
            )
            last, said = process.returncode, process.stderr
        checked = at + 1 < len(commands) and commands[at + 1][1] == "echo $?"
        assert checked or last == 0, f"{command}: {said}"
    return len(commands)


@pytest.mark.parametrize("guide", GUIDES)
def test_guide(guide: str, cli: Any, workplace: Path) -> None:
    ran = 0
    for language, text in blocks(guide):
        if language == "console":
            ran += run_session(text, cli)
        elif language == "python":
            exec(compile(text, f"{guide}.md", "exec"), {})
            ran += 1
        else:
            (workplace / "graphprune.toml").write_text(text)
            assert cli("model.onnx", "--config", "graphprune.toml", "-o", "by_config.onnx").code == 0
            ran += 1
    assert ran > 2


def test_a_guide_that_is_wrong_fails(cli: Any, workplace: Path) -> None:
    with pytest.raises(AssertionError, match="No such option"):
        run_session("$ graphprune model.onnx --no-such-option\n", cli)
    with pytest.raises(AssertionError):
        run_session("$ graphprune nowhere.onnx\n$ echo $?\n0\n", cli)


def test_every_verb_is_in_a_guide_or_page() -> None:
    pages = "\n".join(p.read_text() for p in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    for verb in group.commands:
        assert f"graphprune {verb}" in pages or verb == "prune", verb


def test_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason='needs pip install "graphprune[docs]"')
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/docs/python/index.html").read_text()
    assert (
        "Share of slots to remove" in page or "share of slots to remove" in page
    )  # from the docstring of prune
    made = "".join(p.read_text() for p in (tmp_path / "site").rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', made)
