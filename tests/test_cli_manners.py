"""Manners of the command line: help, suggestions, completion, logging, silence, and JSON alone where it was asked for."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphprune
from graphprune.cli import cli as group

VERBS = sorted(group.commands)
PROGRAM = [sys.executable, "-c", "from graphprune.cli import main; main()"]


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    """What `-v` has set up does not outlive a test."""
    yield
    logger = logging.getLogger("graphprune")
    logger.handlers, logger.level = [], logging.NOTSET


# -- help ---------------------------------------------------------------------------------------


def test_help_names_verbs_and_exit_codes(cli: Any) -> None:
    text = cli("--help").out
    for verb in VERBS:
        assert f"\n  {verb} " in text
    for code, meaning in (
        (0, "done"),
        (2, "bad input"),
        (3, "not the masked"),
        (4, "target"),
        (130, "interrupted"),
    ):
        assert any(line.split()[:1] == [str(code)] and meaning in line for line in text.splitlines())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_of_itself(verb: str, cli: Any) -> None:
    text = cli(verb, "--help").out
    lines = [line.strip() for line in text.partition("Examples:")[2].splitlines() if line.strip()]
    assert len(lines) >= 2
    assert all(line.startswith("graphprune ") for line in lines)
    assert verb == "prune" or any(line.startswith(f"graphprune {verb}") for line in lines)
    known = {o for v in VERBS for p in group.commands[v].params for o in p.opts}
    used = {word for line in lines for word in line.split() if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["inspct", "model.onnx"], "did you mean 'inspect'?"),
        (["reports"], "did you mean 'report'?"),
        (["model.onnx", "--rato", "0.5"], "--ratio"),
        (["recipes", "minitro"], "minitron"),
        (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
    ],
)
def test_misspelt(arguments: list[str], suggestion: str, cli: Any) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert suggestion in done.err


def test_a_file_may_be_called_almost_like_a_verb(
    cli: Any, small_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(small_path, small_path.with_name("reports"))
    monkeypatch.chdir(small_path.parent)
    assert cli("reports", "--dry-run", "-q", "--recipe", "plain").code == 0


# -- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, cli: Any) -> None:
    done = cli("completion", shell)
    assert done.code == 0
    assert "_GRAPHPRUNE_COMPLETE" in done.out


def completed(*words: str) -> list[str]:
    """What bash is told may stand in place of the last word."""
    told = {
        "_GRAPHPRUNE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("graphprune", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(PROGRAM, capture_output=True, text=True, check=False, env=os.environ | told)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("in",), {"plain,inspect", "file,in"}),
        (("--rat",), {"plain,--ratio"}),
        (("--vers",), {"plain,--version"}),
        (("model.onnx", "--rat"), {"plain,--ratio"}),
        (("inspect", "--str"), {"plain,--structures"}),
        (("model.onnx", "--recipe", "minit"), {"plain,minitron"}),
        (("model.onnx", "--criterion", "rand"), {"plain,random"}),
        (("completion", ""), {"plain,bash", "plain,zsh", "plain,fish"}),
    ],
)
def test_completes(words: tuple[str, ...], expected: set[str]) -> None:
    assert set(completed(*words)) == expected


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_with_the_script(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "graphprune").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from graphprune.cli import main; main()' \"$@\"\n"
    )
    (tmp_path / "graphprune").chmod(0o755)
    (tmp_path / "script").write_text(cli("completion", "bash").out)
    line = (
        f"PATH={tmp_path}:$PATH; . {tmp_path}/script; COMP_WORDS=(graphprune --targ); COMP_CWORD=1; "
        '_graphprune_completion graphprune; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "--target" in done.stdout.split()


# -- what is printed ----------------------------------------------------------------------------


def test_library_prints_nothing(
    small: onnx.ModelProto, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = graphprune.prune(small, ratio=0.5, benchmark=True, output=tmp_path / "a.onnx")
    graphprune.apply(result.plan, small)
    graphprune.analyse(small)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["MODEL", "--json", "-"],
        ["MODEL", "--json", "-", "-vv", "--report", "page.html"],
        ["inspect", "MODEL", "--json", "-"],
        ["recipes", "--json", "-"],
        ["ops", "--json", "-"],
    ],
    ids=" ".join,
)
def test_json_alone(arguments: list[str], small_path: Path) -> None:
    """In a process of its own: nothing in it writes around Python either."""
    command = [*PROGRAM, *(str(small_path) if a == "MODEL" else a for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=small_path.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("switches", "said", "not_said"),
    [
        ([], (), ("graphprune.run", "keeps")),
        (["-v"], ("graphprune.run: analyse took",), ("keeps",)),
        (["-vv"], ("graphprune.run: analyse took", '"first_weight[1]" keeps 6 of 12 neurons'), ()),
    ],
)
def test_verbose(
    switches: list[str], said: tuple[str, ...], not_said: tuple[str, ...], cli: Any, small_path: Path
) -> None:
    done = cli(small_path, "--dry-run", "--quiet", "--recipe", "plain", *switches)
    assert done.out == ""
    for text in said:
        assert text in done.err
    for text in not_said:
        assert text not in done.err


def test_library_speaks_to_its_logger(small: onnx.ModelProto, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="graphprune"):
        graphprune.prune(small, ratio=0.5, recipe="plain")
    assert any("rewrite took" in message for message in caplog.messages)


# -- ops ----------------------------------------------------------------------------------------


def test_ops(cli: Any) -> None:
    rows = {(r["domain"], r["operator"]): r for r in json.loads(cli("ops", "--json", "-").out)}
    assert rows["ai.onnx", "Conv"]["kind"] == "rule"
    assert rows["ai.onnx", "Conv"]["axes"].startswith("n (g c)")
    assert rows["ai.onnx", "Loop"]["kind"] == "followed"
    assert rows["ai.onnx", "NonZero"]["reason"] == "its output depends on values"
    assert rows["com.microsoft", "FusedConv"]["kind"] == "rule"
    known = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    assert len(known - {op for domain, op in rows if domain == "ai.onnx"}) <= 5


def test_ops_by_name(cli: Any) -> None:
    out = cli("ops", "conv", "dft").out
    assert "Conv" in out
    assert "barrier" in out
    assert "MatMul" not in out
    done = cli("ops", "Frobnicate")
    assert done.code == 2
    assert "it is a barrier" in done.complaint
