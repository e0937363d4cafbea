"""How far long stages are is said where somebody listens, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from graphprune.cli import shared
from graphprune.decide import Options, parse_targets
from graphprune.inputs import Wanted
from graphprune.pipeline import run_pipeline
from graphprune.run import STAGES, Settings
from graphprune.runtime import progress
from tests.passes.nets import net, samples

COUNT = re.compile(r"(\w+) (\d+)/(\d+)( batches)?(, about \d+ (s|min) left)?")


def told(kind: str, recipe: str, given: bool = True) -> list[str]:
    lines: list[str] = []
    run_pipeline(
        net(kind),
        Options(ratio=None, targets=parse_targets(["macs=0.6"]), recipe=recipe),
        Settings(
            verify=False,
            benchmark=False,
            progress=lines.append,
            detail=lines.append,
            wanted=Wanted({"x": samples(kind)} if given else None),
        ),
    )
    return lines


@pytest.mark.parametrize(
    ("kind", "recipe", "expected"),
    [
        ("cnn", "auto", {"score 0/3", "score 2/3", "score 0/3 batches", "score 2/3 batches", "repair 1/6"}),
        ("attention", "uniql", {"calibrate 0/3 batches", "score 0/3 batches"}),
        ("attention", "finercut", {"score 1/2"}),
        ("cnn", "chip", {"score 2/3"}),
        ("mlp", "osscar", {"score 1/3 batches", "allocate 0/2", "allocate 1/2"}),
        ("mlp", "darwinlm", {"score 1/2", "allocate 0/12", "allocate 11/12"}),
        ("attention", "shortgpt", {"score 2/3"}),
        ("mlp", "optin", {"score 1/36"}),
    ],
)
def test_stages_say_how_far_they_are(kind: str, recipe: str, expected: set[str]) -> None:
    lines = told(kind, recipe)
    assert expected <= set(lines), lines
    stage = ""
    for line in lines:
        if line in STAGES:
            stage = line
            continue
        found = COUNT.fullmatch(line)
        assert found, line
        assert found[1] == stage, f"{line!r} in the stage {stage}: the screen would take it for the next"
        assert int(found[2]) < int(found[3])


def test_making_inputs_up_says_how_far_it_is() -> None:
    lines = told("cnn", "auto", given=False)
    assert any(re.fullmatch(r"calibrate 1/\d+", line) for line in lines), lines


def test_the_rest_is_told_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock on which every look at it takes ten seconds."""
    seconds = iter(range(0, 10**6, 10))
    defaults = (*(progress.Progress.__init__.__defaults__ or ())[:-1], lambda: next(seconds))
    monkeypatch.setattr(progress.Progress.__init__, "__defaults__", defaults)
    lines = told("cnn", "auto")
    for stage in ("score", "repair"):
        assert any(re.fullmatch(rf"{stage} \d+/\d+( batches)?, about \d+ s left", line) for line in lines)


def test_no_line_of_it_is_printed_without_a_terminal(cli: Any, small_path: Path) -> None:
    done = cli(small_path, "--no-verify", "--no-benchmark")
    lines = done.err.splitlines()
    assert {line.split()[0] for line in lines} <= set(STAGES)
    assert not any("/" in line for line in lines)


def test_a_stage_that_goes_on_gets_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with shared.progress({"quiet": False}) as say:
        for line in ("score", "score 3/8, about 20 s left", "score 7/8", "allocate"):
            say(line)
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["score", "allocate"]
