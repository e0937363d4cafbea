"""Bad input: one sentence on standard error, exit code 2, nothing written, the input as it was."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.decoder import decoder, decoder_feeds

Arguments = list[Any]
Make = Callable[[Path], Arguments]
CASES: dict[str, tuple[Make, str]] = {}


def case(name: str, message: str) -> Callable[[Make], Make]:
    """Register a function from a folder (with `small.onnx` in it) to the arguments of the command line."""

    def register(make: Make) -> Make:
        CASES[name] = (make, message)
        return make

    return register


def option(name: str, message: str, *options: str) -> None:
    """A case that is a good model with bad options."""
    CASES[name] = (lambda folder: [folder / "small.onnx", *options], message)


def plan_case(name: str, message: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """A case that is a plan of the model, changed before it is applied."""

    def make(folder: Path) -> Arguments:
        changed = change(json.loads(_plan()))
        (folder / "plan.json").write_text(changed if isinstance(changed, str) else json.dumps(changed))
        return ["apply", folder / "plan.json", folder / "small.onnx"]

    CASES[name] = (make, message)


def _plan() -> str:
    kept = {"size": 12, "kind": "neurons", "kept": [0, 3, 5], "outer": [], "scores": []}
    plan = {"format": 1, "fingerprint": "FINGERPRINT", "groups": {"first_weight[1]": kept}}
    return json.dumps({**plan, "reasons": {}, "options": {}, "versions": {}})


# -- the model ----------------------------------------------------------------------------------


@case("missing file", "there is no such file")
def _missing(folder: Path) -> Arguments:
    return [folder / "nothing.onnx"]


@case("directory", "is a folder|directory")
def _directory(folder: Path) -> Arguments:
    (folder / "net.onnx").mkdir()
    return [folder / "net.onnx"]


@case("empty file", "empty")
def _empty(folder: Path) -> Arguments:
    (folder / "net.onnx").touch()
    return [folder / "net.onnx"]


@case("text file", "not an ONNX model|text")
def _text(folder: Path) -> Arguments:
    (folder / "net.onnx").write_text("weights: none\n")
    return [folder / "net.onnx"]


@case("truncated file", "cut short|truncated")
def _truncated(folder: Path) -> Arguments:
    content = (folder / "small.onnx").read_bytes()
    (folder / "net.onnx").write_bytes(content[: len(content) * 2 // 3])
    return [folder / "net.onnx"]


def _external(folder: Path) -> Path:
    path = folder / "net.onnx"
    model = onnx.load(folder / "small.onnx")
    onnx.save(model, path, save_as_external_data=True, location="net.bin", size_threshold=0)
    return path


def _edited(path: Path, edit: Callable[[onnx.ModelProto], None]) -> Arguments:
    model = onnx.load(path, load_external_data=False)
    edit(model)
    path = path.with_name("net.onnx")
    path.write_bytes(model.SerializeToString())
    return [path]


@case("missing external data", "net.bin")
def _no_data(folder: Path) -> Arguments:
    path = _external(folder)
    (folder / "net.bin").unlink()
    return [path]


@case("short external data", "net.bin")
def _short_data(folder: Path) -> Arguments:
    path = _external(folder)
    os.truncate(folder / "net.bin", 100)
    return [path]


@case("external data outside the folder", "folder")
def _stray_data(folder: Path) -> Arguments:
    def edit(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            tensor.external_data[0].value = "../net.bin"

    return _edited(_external(folder), edit)


@case("unknown opset", "opset")
def _opset(folder: Path) -> Arguments:
    return _edited(folder / "small.onnx", lambda m: setattr(m.opset_import[0], "version", 999))


@case("cycle", "cycle")
def _cycle(folder: Path) -> Arguments:
    return _edited(folder / "small.onnx", lambda m: m.graph.node[0].input.__setitem__(0, "b"))


@case("undefined tensor", "nowhere")
def _undefined(folder: Path) -> Arguments:
    return _edited(folder / "small.onnx", lambda m: m.graph.node[1].input.__setitem__(0, "nowhere"))


@case("no weights", "nothing to prune")
def _weightless(folder: Path) -> Arguments:
    text = "<ir_version: 8, opset_import: ['' : 17]> g (float[2] x) => (float[2] y) { y = Relu (x) }"
    onnx.save(onnx.parser.parse_model(text.replace("'", '"')), folder / "net.onnx")
    return [folder / "net.onnx"]


@case("everything frozen", "nothing to prune: none of the 2 dimensions.*graph output")
def _frozen(folder: Path) -> Arguments:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[2, 3] x) => (float[2, 4] y)
        <float[3, 4] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { y = MatMul (x, w) }"""
    onnx.save(onnx.parser.parse_model(text), folder / "net.onnx")
    return [folder / "net.onnx"]


@case("lengths that nobody knows", r'give inputs that it takes \(--calib\), numbers made up for "lengths"')
def _unknown_lengths(folder: Path) -> Arguments:
    onnx.save(decoder("odd", fixed={"steps": 5}), folder / "net.onnx")
    return [folder / "net.onnx"]


@case("lengths that are wrong", r"nor on the inputs that were given \(--calib\): give such as it takes")
def _wrong_lengths(folder: Path) -> Arguments:
    onnx.save(decoder("odd", fixed={"steps": 5}), folder / "net.onnx")
    feeds = {**decoder_feeds(2, 5, 0, "odd"), "lengths": np.zeros(2, np.int32)}
    np.savez(folder / "wrong.npz", **feeds)
    return [folder / "net.onnx", "--calib", folder / "wrong.npz"]


# -- options ------------------------------------------------------------------------------------

for _ratio in ("1", "1.5", "-0.5", "nan"):
    option(f"ratio {_ratio}", "the ratio must be at least 0 and below 1", "--ratio", _ratio)
option("ratio no number", "'half' is not a valid float", "--ratio", "half")
option("ratio and target", "either a ratio or a target", "--ratio", "0.5", "--target", "macs=0.5")
option("target without number", "cannot read the target 'macs='", "--target", "macs=")
option("target of unknown measure", "cannot read the target 'speed=2'", "--target", "speed=2")
option("target zero", "leaves nothing", "--target", "params=0")
option("round to zero", "--round-to must be at least 1, got 0", "--round-to", "0")
option("min keep one", r"--min-keep must lie in \[0, 1\), got 1", "--min-keep", "1")
option("unknown criterion", "unknown criterion 'best': choose from .*l2-group", "--criterion", "best")
option("unknown allocation", "unknown allocation 'fair': choose from .*uniform", "--allocation", "fair")
option("unknown structure", "unknown structure 'wheels': choose from .*heads", "--structures", "wheels")
option("pattern without match", "matches 'layer9", "--only", "layer9*")
option("exclude without match", "matches 'layer9", "--exclude", "layer9*")
option("unknown option", "No such option", "--nonsense")
option("two models", "unexpected extra argument", "small.onnx")
option("output without folder", "folder", "--output", "{folder}/missing/out.onnx")
option("output is a folder", "folder", "--output", "{folder}")
option("output inside a file", "folder", "--output", "{folder}/small.onnx/out.onnx")
option("output is the input", "this would replace", "--output", "{folder}/small.onnx")
option(
    "report without folder", "cannot write .*its folder does not exist", "--json", "{folder}/missing/r.json"
)
option("plan without folder", "cannot write .*its folder does not exist", "--plan", "{folder}/missing/p.json")
option("report is a folder", "cannot write .*it is a folder", "--json", "{folder}")


@case("no model", "Missing argument 'MODEL'")
def _no_model(folder: Path) -> Arguments:
    return ["--ratio", "0.5"]


# -- configuration ------------------------------------------------------------------------------


def config(name: str, message: str, text: str) -> None:
    """A case that is a configuration file."""

    def make(folder: Path) -> Arguments:
        (folder / "config.toml").write_text(text)
        return [folder / "small.onnx", "--config", folder / "config.toml"]

    CASES[name] = (make, message)


option("missing config", "cannot read the configuration", "--config", "{folder}/config.toml")
config("config not TOML", "not valid TOML", "ratio: 0.5")
config("config with unknown key", "unknown key 'ration'", "ration = 0.5")
config("config with bad value", "'half' is not a valid float", 'ratio = "half"')
config("config ratios no table", r"\[ratios\]", "ratios = 0.5")
config("config ratio of nothing", "no prunable dimension matches 'layer9", '[ratios]\n"layer9*" = 0.5')
config("config ratio too large", "the ratio of 'first", '[ratios]\n"first*" = 2')

# -- plans --------------------------------------------------------------------------------------


@case("missing plan", "cannot read the plan")
def _no_plan(folder: Path) -> Arguments:
    return ["apply", folder / "plan.json", folder / "small.onnx"]


plan_case("plan not JSON", "not valid JSON", lambda plan: "kept: all")
plan_case("plan is a list", "JSON but not a plan", lambda plan: [plan])
plan_case("plan of another format", "has format 99", lambda plan: {**plan, "format": 99})
plan_case(
    "plan without kept indices", "a group without size", lambda p: {**p, "groups": {"first_weight[1]": {}}}
)
plan_case("plan of another model", "made for a model of another structure", lambda plan: plan)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str, tmp_path: Path, small_path: Path, private_temp: Path, cli: Any, listing: Any
) -> None:
    make, message = CASES[name]
    arguments = [str(a).replace("{folder}", str(tmp_path)) for a in make(tmp_path)]
    before = listing()
    folders = sorted(p for p in tmp_path.rglob("*") if p.is_dir())
    done = cli(*arguments, "--quiet")
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("graphprune: ")
    assert done.err.count("\n") == 1, "one sentence"
    assert "Traceback" not in done.err
    assert re.search(message, done.err), done.err
    assert listing() == before
    assert sorted(p for p in tmp_path.rglob("*") if p.is_dir()) == folders
    assert not list(private_temp.iterdir())


@pytest.mark.parametrize("name", ["missing file", "text file", "cycle"])
def test_bad_model_for_inspect(name: str, tmp_path: Path, small_path: Path, cli: Any) -> None:
    make, message = CASES[name]
    done = cli("inspect", *make(tmp_path))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert message.partition("|")[0] in done.err
