"""The documents are true: generated pages are up to date, links lead somewhere, and the examples run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphprune
from graphprune.cli import cli as group
from graphprune.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("", ".ci", "docs", "graphprune/rules", "models", "passes", "tests", "tools")
PAGES = sorted({p for f in FOLDERS for p in (ROOT / f).glob("*.md")})


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a language in a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["operators", "recipes"])
def test_generated_page_is_up_to_date(page: str) -> None:
    command = [sys.executable, ROOT / "tools" / f"{page}_table.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_readme_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = blocks("README.md", "python")
    exec(compile(example, "README.md", "exec"), {})


def test_readme_commands_are_the_real_ones() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^    (pip install .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].startswith('pip install -e ".[cpu]" && graphprune models/')
    assert commands[1] == 'pip install -e ".[cpu,test]" && pytest'
    assert all((ROOT / m).exists() for m in re.findall(r"models/\w+\.onnx", readme))


def test_readme_options_exist(cli: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    known = {o for verb in group.commands for o in re.findall(r"--[a-z-]+", cli(verb, "--help").out)}
    lines = re.findall(r"^    \$? ?(graphprune .*)$", readme, re.MULTILINE)
    used = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
    assert used
    assert used <= known


def test_readme_configuration(cli: Any, small_path: Path, tmp_path: Path) -> None:
    """Its keys are options; its names are those of another model."""
    (text,) = blocks("README.md", "toml")
    config = tomllib.loads(text)
    names = {"stem.*": "first*", "layer1.*": "second*", "head.fc.weight[1]": "second_weight[1]"}
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    (tmp_path / "graphprune.toml").write_text(text)
    done = cli(
        small_path, "--config", tmp_path / "graphprune.toml", "--quiet", "--no-benchmark", "--json", "-"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["asked"]["ratio"] == config["ratio"]


def test_pass_example_is_the_real_file() -> None:
    example = blocks("passes/README.md", "python")[0]
    assert example == (ROOT / "passes/graphprune_passes/criteria/random.py").read_text()


def test_rule_example_is_the_real_row() -> None:
    example = blocks("graphprune/rules/README.md", "python")[0]
    assert example.strip() in (ROOT / "graphprune/rules/microsoft/convolutions.py").read_text()


def test_report_page_lists_the_keys(small: onnx.ModelProto) -> None:
    text = (ROOT / "docs/report.md").read_text()
    report = graphprune.prune(small).report
    parts = [report, report["before"], report["equivalence"]]
    parts += [report[k][0] for k in ("groups", "layers", "not_cut", "fidelity")]
    parts += [report["groups"][0]["sensitivity"], report["layers"][0]["before"]]
    for key in (k for part in parts for k in part):
        assert f"`{key}`" in text, key


def test_plan_page_shows_the_keys(small: onnx.ModelProto) -> None:
    (example,) = blocks("docs/plan.md", "json")
    plan = json.loads(graphprune.prune(small, dry_run=True).plan.to_json())
    shown = json.loads(example)
    assert shown.keys() == plan.keys() == set(Plan.__dataclass_fields__)
    assert next(iter(shown["groups"].values())).keys() == next(iter(plan["groups"].values())).keys()


def test_version_is_in_the_changelog() -> None:
    assert f"\n## {graphprune.__version__}" in (ROOT / "CHANGELOG.md").read_text()
