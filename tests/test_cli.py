"""The command line: exit codes, what it prints, what it writes, and that it agrees with itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune.finish
import graphprune.run
from graphprune.dims import Slots

QUICK = ("--no-benchmark", "--quiet")


def weights(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the initializers in a file."""
    return {t.name: tuple(t.dims) for t in onnx.load(path).graph.initializer}


# -- the main verb ------------------------------------------------------------------------------


def test_prunes_beside_the_input(cli: Any, small_path: Path) -> None:
    before = small_path.read_bytes()
    done = cli(small_path, "--recipe", "plain")
    assert done.code == 0
    assert weights(small_path.with_name("small.pruned.onnx")) == {
        "first_weight": (8, 6),
        "first_bias": (6,),
        "second_weight": (6, 5),
        "last_weight": (5, 4),
    }
    assert small_path.read_bytes() == before
    for text in (
        "parameters",
        "multiply-adds",
        "file size",
        "CPU latency",
        "cut:",
        "not cut:",
        "verified:",
        "written to",
    ):
        assert text in done.out
    stages = [line.split()[0] for line in done.err.splitlines()]
    without = ("calibrate", "measure", "repair")
    assert stages == [s for s in graphprune.run.STAGES if s not in without]


@pytest.mark.parametrize("arguments", [["prune"], []], ids=["named", "implied"])
def test_main_verb_needs_no_name(arguments: list[str], cli: Any, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert cli(*arguments, small_path, "--ratio", 0.25, "-o", out, *QUICK).code == 0
    assert weights(out)["first_weight"] == (8, 9)


def test_options_may_come_first(cli: Any, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert cli("--ratio", 0.25, "-o", out, *QUICK, small_path).code == 0
    assert out.exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str], cli: Any) -> None:
    done = cli(*arguments)
    assert done.code == 0
    assert "graphprune model.onnx --ratio 0.5" in done.out
    assert "\b" not in done.out
    assert done.err == ""


@pytest.mark.parametrize("verb", ["prune", "apply", "inspect"])
def test_help_of_a_verb(verb: str, cli: Any) -> None:
    done = cli(verb, "--help")
    assert done.code == 0
    assert f"Usage: graphprune {verb}" in done.out


def test_version(cli: Any) -> None:
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("graphprune ")
    for package in ("onnx", "onnx-ir", "numpy", "onnxruntime"):
        assert f"\n  {package} " in done.out


def test_quiet_prints_nothing(cli: Any, small_path: Path) -> None:
    done = cli(small_path, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_quiet_still_writes_reports(cli: Any, small_path: Path, tmp_path: Path) -> None:
    done = cli(small_path, *QUICK, "--json", tmp_path / "r.json", "--plan", tmp_path / "p.json")
    assert (done.out, done.err) == ("", "")
    assert json.loads((tmp_path / "r.json").read_text())["format"] == 1
    assert json.loads((tmp_path / "p.json").read_text())["format"] == 1


def test_dry_run_writes_nothing(
    cli: Any, small_path: Path, listing: Callable[[], Any], private_temp: Path
) -> None:
    before = listing()
    done = cli(small_path, "--dry-run")
    assert done.code == 0
    assert "dry run: nothing was written" in done.out
    assert "verified" not in done.out
    assert listing() == before
    assert not list(private_temp.iterdir())


def test_output_may_be_the_input_by_force(cli: Any, small_path: Path) -> None:
    assert cli(small_path, "-o", small_path, "--force", *QUICK).code == 0
    assert weights(small_path)["first_weight"] == (8, 6)


def test_an_older_result_is_replaced(cli: Any, small_path: Path) -> None:
    assert cli(small_path, *QUICK).code == 0
    assert cli(small_path, "--ratio", 0.25, *QUICK).code == 0
    assert weights(small_path.with_name("small.pruned.onnx"))["first_weight"] == (8, 9)


def test_same_seed_same_file(cli: Any, small_path: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one.onnx", "two.onnx", "other.onnx")]
    for out, seed in zip(outs, (7, 7, 8), strict=True):
        cli(small_path, "--criterion", "random", "--seed", seed, "-o", out, *QUICK)
    one, two, other = (o.read_bytes() for o in outs)
    assert one == two
    assert one != other


# -- choosing what is cut -----------------------------------------------------------------------


def test_only_and_exclude(cli: Any, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    cli(small_path, "--only", "first*", "-o", out, *QUICK)
    assert weights(out)["first_weight"] == (8, 6)
    assert weights(out)["last_weight"] == (10, 4)
    cli(small_path, "--exclude", "first_weight[1]", "-o", out, *QUICK)
    assert weights(out)["first_weight"] == (8, 12)
    assert weights(out)["last_weight"] == (5, 4)


def test_round_to(cli: Any, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    done = cli(small_path, "--ratio", 0.4, "--round-to", 8, "-o", out, "--no-benchmark")
    assert weights(out)["first_weight"] == (8, 8)
    assert weights(out)["last_weight"] == (8, 4)
    assert done.code == 0


def test_config(cli: Any, small_path: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "graphprune.toml", tmp_path / "out.onnx"
    config.write_text(
        "ratio = 0.25\nmin-keep = 0.2\nno-benchmark = true\n"
        'only = ["first*", "second*"]\n[ratios]\n"last*" = 0.8\n'
    )
    done = cli(small_path, "--config", config, "-o", out)
    assert done.code == 0, done.err
    assert weights(out)["first_weight"] == (8, 9)
    assert weights(out)["last_weight"] == (2, 4)
    assert "benchmark" not in done.err


def test_the_command_line_overrides_the_config(cli: Any, small_path: Path, tmp_path: Path) -> None:
    config, out = tmp_path / "graphprune.toml", tmp_path / "out.onnx"
    config.write_text("ratio = 0.25\n")
    assert cli("--config", config, small_path, "--ratio", 0.5, "-o", out, *QUICK).code == 0
    assert weights(out)["first_weight"] == (8, 6)


# -- reports ------------------------------------------------------------------------------------


def test_json_report(cli: Any, small_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    cli(small_path, "--recipe", "plain", "-o", out, "--json", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["model"] == str(small_path)
    assert report["output"] == str(out)
    assert report["before"]["params"] == 8 * 12 + 12 + 12 * 10 + 10 * 4
    assert report["after"]["params"] == 8 * 6 + 6 + 6 * 5 + 5 * 4
    batch = report["before"]["macs"] // (8 * 12 + 12 * 10 + 10 * 4)
    assert report["after"]["macs"] == batch * (8 * 6 + 6 * 5 + 5 * 4)
    assert report["before"]["size_bytes"] == small_path.stat().st_size
    assert report["after"]["size_bytes"] == out.stat().st_size
    assert report["after"]["latency_ms"] > 0
    assert [(g["key"], g["before"], g["after"]) for g in report["groups"]] == [
        ("first_weight[1]", 12, 6),
        ("second_weight[1]", 10, 5),
    ]
    assert {row["key"] for row in report["not_cut"]} == {"first_weight[0]", "last_weight[1]"}
    assert report["equivalence"]["status"] == "equal"
    assert report["equivalence"]["change"] > 1e-3
    assert report["fidelity"][0]["output"] == "y"
    assert set(report["seconds"]) == set(graphprune.run.STAGES) - {"calibrate", "measure", "repair"}


def test_json_to_standard_output(cli: Any, small_path: Path) -> None:
    done = cli(small_path, "--json", "-", "--no-benchmark")
    assert json.loads(done.out)["equivalence"]["status"] == "equal"


def test_no_verify_says_so(cli: Any, small_path: Path) -> None:
    done = cli(small_path, "--no-verify", "--no-benchmark", "--json", "-")
    assert json.loads(done.out)["equivalence"]["status"] == "not checked"


def test_inspect(cli: Any, small_path: Path, listing: Callable[[], Any]) -> None:
    before = listing()
    done = cli("inspect", small_path)
    assert done.code == 0
    assert "4 dimensions" in done.out
    assert "prunable" in done.out
    assert listing() == before


def test_inspect_json(cli: Any, small_path: Path) -> None:
    done = cli("inspect", small_path, "--json", "-")
    groups = {g["key"]: g for g in json.loads(done.out)["groups"]}
    assert groups["first_weight[1]"]["members"] == ["first_weight[1]", "first_bias[0]", "second_weight[0]"]
    assert groups["first_weight[1]"]["reason"] == ""
    assert 'graph output "y"' in groups["last_weight[1]"]["reason"]


# -- plans --------------------------------------------------------------------------------------


@pytest.fixture
def plan_path(cli: Any, small_path: Path, tmp_path: Path) -> Path:
    """The plan of the small net at the default ratio."""
    path = tmp_path / "plan.json"
    assert cli(small_path, "--plan", path, "-o", tmp_path / "planned.onnx", *QUICK).code == 0
    return path


def test_plan_and_apply_give_the_same_file(
    cli: Any, plan_path: Path, small_path: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.onnx"
    done = cli("apply", plan_path, small_path, "-o", again)
    assert done.code == 0
    assert again.read_bytes() == (tmp_path / "planned.onnx").read_bytes()


def test_plan_of_a_dry_run(cli: Any, plan_path: Path, small_path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    assert cli(small_path, "--dry-run", "--plan", other, *QUICK).code == 0
    assert other.read_bytes() == plan_path.read_bytes()


def test_apply_to_a_fine_tuned_twin(
    cli: Any, plan_path: Path, small: onnx.ModelProto, tmp_path: Path
) -> None:
    tuned = onnx.numpy_helper.to_array(small.graph.initializer[0]) * 2
    small.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(tuned, "first_weight"))
    onnx.save(small, tmp_path / "tuned.onnx")
    assert cli("apply", plan_path, tmp_path / "tuned.onnx", "--no-repair", *QUICK).code == 0
    kept = json.loads(plan_path.read_text())["groups"]["first_weight[1]"]["kept"]
    result = onnx.load(tmp_path / "tuned.pruned.onnx").graph.initializer[0]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(result), tuned[:, kept])


def test_an_edited_plan_is_followed(cli: Any, plan_path: Path, small_path: Path, tmp_path: Path) -> None:
    plan = json.loads(plan_path.read_text())
    plan["groups"]["first_weight[1]"]["kept"] = [1, 4]
    del plan["groups"]["second_weight[1]"]
    plan_path.write_text(json.dumps(plan))
    out = tmp_path / "edited.onnx"
    assert cli("apply", plan_path, small_path, "-o", out, *QUICK).code == 0
    assert weights(out)["second_weight"] == (2, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kept": [0, 12]}, "between 0 and 11"),
        ({"kept": [-1, 2]}, "between 0 and 11"),
        ({"kept": [3, 3]}, "must ascend"),
        ({"kept": []}, "does not fit"),
        ({"kept": [[0, 1], [1, 2]]}, "does not fit"),
        ({"kept": [[0], [1, 2]]}, "do not form a table"),
        ({"size": 11}, "it has 12 slots, the plan says 11"),
    ],
)
def test_a_plan_that_does_not_fit(
    change: dict[str, Any], message: str, cli: Any, plan_path: Path, small_path: Path, tmp_path: Path
) -> None:
    plan = json.loads(plan_path.read_text())
    plan["groups"]["first_weight[1]"].update(change)
    plan_path.write_text(json.dumps(plan))
    done = cli("apply", plan_path, small_path, "-o", tmp_path / "no.onnx", *QUICK)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "no.onnx").exists()


def test_a_plan_must_not_cut_what_is_frozen(cli: Any, plan_path: Path, small_path: Path) -> None:
    plan = json.loads(plan_path.read_text())
    plan["groups"]["last_weight[1]"] = {"size": 4, "kind": "neurons", "kept": [0]}
    plan_path.write_text(json.dumps(plan))
    done = cli("apply", plan_path, small_path, *QUICK)
    assert done.code == 2
    assert 'reaches graph output "y"' in done.err


def test_a_plan_for_another_model(
    cli: Any, plan_path: Path, bundled: Callable[[str], Path], tmp_path: Path
) -> None:
    done = cli("apply", plan_path, bundled("resnet_se"), "-o", tmp_path / "no.onnx", *QUICK)
    assert done.code == 2
    assert "another structure" in done.err
    assert not (tmp_path / "no.onnx").exists()


# -- the other exit codes -----------------------------------------------------------------------


def test_unreachable_target(cli: Any, small_path: Path, listing: Callable[[], Any]) -> None:
    before = listing()
    done = cli(small_path, "--target", "params=0.001", "--quiet")
    assert done.code == 4
    assert "cannot be reached" in done.err
    assert "params=0." in done.err, "says what can be reached"
    assert done.err.count("\n") == 1
    assert listing() == before


def test_failed_verification(
    cli: Any,
    small_path: Path,
    listing: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    private_temp: Path,
) -> None:
    """A rewriter that cuts other slots than it was told is found out, and nothing is written."""
    real = graphprune.finish.rewrite

    def wrong(model: Any, analysis: Any, keeps: Any) -> Any:
        moved = {}
        for atom, slots in keeps.items():
            size = analysis.atom_sizes[atom]
            moved[atom] = Slots(np.sort((slots.index + 1) % size), slots.outer)
        return real(model, analysis, moved)

    monkeypatch.setattr(graphprune.finish, "rewrite", wrong)
    before = listing()
    done = cli(small_path, "--quiet")
    assert done.code == 3
    assert "the pruned model is not the masked original" in done.err
    assert done.err.count("\n") == 1
    assert listing() == before
    assert not list(private_temp.iterdir())


def test_changed_interface_fails(cli: Any, small_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = graphprune.finish.rewrite

    def renaming(*arguments: Any) -> Any:
        model = real(*arguments)
        model.graph.outputs[0].name = "z"
        return model

    monkeypatch.setattr(graphprune.finish, "rewrite", renaming)
    done = cli(small_path, "--quiet")
    assert done.code == 3
    assert "the interface of the model changed" in done.err


def test_without_onnx_runtime(small_path: Path, tmp_path: Path) -> None:
    """One sentence that says what to install; without the proof the work can still be done."""
    program = (
        "import sys; sys.modules['onnxruntime'] = None; from graphprune.cli import main; "
        "sys.argv = ['graphprune', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", program, str(small_path), "--quiet", "-o", str(tmp_path / "out.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'ONNX Runtime is not installed: pip install "graphprune[cpu]"' in done.stderr
    assert not (tmp_path / "out.onnx").exists()
    done = subprocess.run([*command, "--no-verify"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert weights(tmp_path / "out.onnx")["first_weight"] == (8, 6)


@pytest.mark.parametrize(
    "statement", ["import graphprune", "from graphprune.cli import cli; cli(['--help'])"]
)
def test_starts_without_heavy_imports(statement: str) -> None:
    program = (
        "import sys\ntry:\n    " + statement + "\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'onnxruntime', 'onnx_ir', 'onnx', 'numpy', 'networkx', 'onnx_graphsurgeon'}\n"
        "sys.exit(' '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_module_is_installed_as_a_command(small_path: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("graphprune")
    out = tmp_path / "out.onnx"
    done = subprocess.run(
        [command, small_path, "-o", out, *QUICK], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.exists()
