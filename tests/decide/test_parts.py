"""Which passes decide, and what is said of one that is named in vain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphprune
from graphprune.decide import Options, choose_parts


@pytest.mark.parametrize(
    ("named", "criterion"),
    [
        ({"criterion": "obs"}, "obs"),
        ({"criterion": "random"}, "random"),
        ({"recipe": "auto"}, "obs"),
        ({"recipe": "obspa-id"}, "obs-second"),
    ],
)
def test_a_reducer_that_nothing_asks_is_told(named: dict[str, str], criterion: str) -> None:
    (said,) = choose_parts(Options(reducer="max", **named)).notes
    assert said.startswith(f'--reducer max does nothing: criterion "{criterion}"')
    assert choose_parts(Options(**named)).notes == (), "nobody named the recipe's own"


@pytest.mark.parametrize(
    "named", [{}, {"criterion": "wanda"}, {"recipe": "obspa-id", "criterion": "l1"}, {"recipe": "flap"}]
)
def test_a_reducer_that_is_asked_is_not(named: dict[str, str]) -> None:
    assert choose_parts(Options(reducer="max", **named)).notes == ()


def test_a_reducer_that_nothing_asks_changes_nothing_and_is_named_nowhere(small: onnx.ModelProto) -> None:
    one, other = (
        graphprune.prune(small, criterion="random", reducer=name, benchmark=False) for name in ("mean", "max")
    )
    assert one.plan.groups == other.plan.groups
    assert "reducer" not in other.report["method"]["parts"]
    assert any("--reducer max does nothing" in w for w in other.report["warnings"])
    assert other.report["asked"]["reducer"] == "max", "what was asked for stays on record"
    used = graphprune.prune(small, criterion="l1", reducer="max", benchmark=False).report
    assert used["method"]["parts"]["reducer"] == "max"
    assert not any("--reducer" in w for w in used["warnings"])


@pytest.mark.parametrize(("recipe", "named"), [("auto", False), ("gp-free", False), ("depgraph", True)])
def test_lists_name_the_passes_that_are_asked(cli: Any, tmp_path: Path, recipe: str, named: bool) -> None:
    file = tmp_path / "recipes.json"
    assert cli("recipes", "--json", file).code == 0
    (row,) = [r for r in json.loads(file.read_text()) if r["name"] == recipe]
    assert ("reducer" in [p["kind"] for p in row["parts"]]) == named
    assert ("reducer" in cli("recipes", recipe).out) == named


@pytest.mark.parametrize("recipe", ["obspa-free", "gp-free", "intra-fusion"])
def test_lists_tell_recipes_that_make_their_inputs_up(cli: Any, recipe: str) -> None:
    (row,) = json.loads(cli("recipes", recipe, "--json", "-").out)
    assert row["needs"] == "made-up inputs"
    assert "needs made-up inputs" in " ".join(cli("recipes", recipe).out.split())
    assert "needs inputs" in " ".join(cli("recipes", "obspa-id").out.split())
    page = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text()
    assert f"| **{recipe}** | made-up inputs |" in page
