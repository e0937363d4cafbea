"""The command line of evidence: verify, eval, and budgets on quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune

METRIC = """
import numpy as np

X = np.random.default_rng(0).normal(size=(32, 8))
TRUTH = np.load("truth.npy")

def close(predict):
    y = predict({"x": X})["y"]
    return {"close": 1 - np.linalg.norm(y - TRUTH) / np.linalg.norm(TRUTH), "mean": y.mean()}

def error(predict):
    return 1 - close(predict)["close"]
error.lower_is_better = True
"""


@pytest.fixture
def folder(tmp_path: Path, small_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: the small net, a pruned one with its plan, a metric, inputs and labels."""
    monkeypatch.chdir(tmp_path)
    found = graphprune.prune(small_path, recipe="plain", output="pruned.onnx")
    Path("plan.json").write_text(found.plan.to_json())
    x = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
    truth: list[np.ndarray] = []
    graphprune.evaluate(small_path, lambda predict: float(bool(truth.append(predict(x)["y"]))))
    np.save("truth.npy", truth[0])
    np.save("labels.npy", truth[0].argmax(1))
    np.savez("inputs.npz", x=x)
    Path("quality.py").write_text(METRIC)
    return tmp_path


# -- verify ---------------------------------------------------------------------------------------


def test_verify_says_what_it_found(cli: Any, folder: Path) -> None:
    done = cli("verify", "small.onnx", "pruned.onnx", "--plan", "plan.json", "--consumers", "ort-optimised")
    assert done.code == 0
    for text in ("same inputs and outputs", "it is the masked original (error", "SQNR", "ort-optimised"):
        assert text in done.out
    stages = [line.split()[0] for line in done.err.splitlines()]
    assert stages == ["load", "normalise", "analyse", "contract", "equivalence", "fidelity", "consumers"]


def test_verify_as_data(cli: Any, folder: Path) -> None:
    done = cli(
        "verify", "small.onnx", "pruned.onnx", "--consumers", "none", "--calib", "inputs.npz", "--json", "-"
    )
    data = json.loads(done.out)
    assert (done.code, data["passed"], data["complaint"], data["samples"]) == (0, True, "", 32)
    assert data["equivalence"]["status"] == "equal"
    assert data["fidelity"][0].keys() >= {"relative_error", "cosine", "sqnr_db", "top1", "top5", "kl", "drop"}
    assert data["kept_from"] == "weights"


def test_verify_fails_with_its_own_exit_code(cli: Any, folder: Path) -> None:
    model = onnx.load("pruned.onnx")
    next(n for n in model.graph.node if n.op_type == "Relu").op_type = "Elu"
    onnx.save(model, "wrong.onnx")
    given = ("--plan", "plan.json", "--consumers", "none", "--json", "found.json")
    done = cli("verify", "small.onnx", "wrong.onnx", *given)
    assert done.code == 3
    assert done.complaint.startswith("graphprune: the pruned model is not the masked original: output")
    assert "failed      equivalence" in done.out
    data = json.loads(Path("found.json").read_text())
    assert (data["passed"], data["equivalence"]["status"]) == (False, "different")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("small.onnx", "nowhere.onnx"), "nowhere.onnx: there is no such file"),
        (("small.onnx", "pruned.onnx", "--plan", "nowhere.json"), "cannot read the plan nowhere.json"),
        (("small.onnx", "pruned.onnx", "--consumers", "tflite"), "unknown consumer 'tflite'"),
        (("small.onnx", "pruned.onnx", "--calib", "nowhere.npz"), "nowhere.npz: no such file"),
    ],
)
def test_verify_refuses(arguments: tuple[str, ...], complaint: str, cli: Any, folder: Path) -> None:
    done = cli("verify", *arguments)
    assert done.code == 2
    assert complaint in done.complaint


# -- eval -----------------------------------------------------------------------------------------


def test_eval_shows_models_side_by_side(cli: Any, folder: Path) -> None:
    done = cli("eval", "small.onnx", "pruned.onnx", "--metric", "quality.py:close", "-q", "--json", "-")
    assert (done.code, done.err) == (0, "")
    first, second = json.loads(done.out)["models"]
    assert first["values"]["close"] == pytest.approx(1)
    assert second["difference"]["close"] == pytest.approx(second["values"]["close"] - 1) != 0
    shown = cli("eval", "small.onnx", "pruned.onnx", "--metric", "quality.py:error")
    assert shown.out.splitlines()[-1] == "lower is better"
    assert f"{-second['difference']['close']:+.4f}" in shown.out


def test_eval_by_labels(cli: Any, folder: Path) -> None:
    done = cli("eval", "small.onnx", "--labels", "labels.npy", "--calib", "inputs.npz", "--json", "-")
    assert json.loads(done.out)["models"][0]["values"] == {"top1": 1.0}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "say what to measure"),
        (("--labels", "labels.npy"), "--labels needs the inputs"),
        (("--metric", "quality.py:nothing"), "'quality.py' has no function 'nothing'"),
    ],
)
def test_eval_refuses(arguments: tuple[str, ...], complaint: str, cli: Any, folder: Path) -> None:
    done = cli("eval", "small.onnx", *arguments)
    assert done.code == 2
    assert complaint in done.complaint


# -- budgets on quality -----------------------------------------------------------------------------


def test_smallest_model_that_keeps_a_metric(cli: Any, folder: Path) -> None:
    given = ("--recipe", "plain", "--no-benchmark", "--resume", "points.json", "--json", "report.json")
    done = cli("small.onnx", "--max-drop", "0.5", "--metric", "quality.py:error", "-o", "out.onnx", *given)
    assert done.code == 0, done.err
    report = json.loads(Path("report.json").read_text())
    assert report["quality"]["lower_is_better"] is True
    assert report["quality"]["pruned"] <= 0.5
    for point in report["curve"]:
        verdict = "good enough" if point["good"] else "not good enough"
        assert f"{point['quality']:.4f}  {verdict}\n" in done.out
    assert "good enough; at most" in done.err
    measured = cli("eval", "out.onnx", "--metric", "quality.py:error", "--json", "-")
    assert json.loads(measured.out)["models"][0]["values"]["error"] == pytest.approx(
        report["quality"]["pruned"]
    )


def test_no_model_keeps_the_metric(cli: Any, folder: Path) -> None:
    done = cli(
        "small.onnx", "--max-drop", "0", "--metric", "quality.py:close", "-o", "out.onnx", "--recipe", "plain"
    )
    assert done.code == 4
    assert "--max-drop 0 cannot be kept: of" in done.complaint
    assert not Path("out.onnx").exists()


def test_limits_and_targets_exclude_each_other(cli: Any, folder: Path) -> None:
    done = cli("small.onnx", "--min-fidelity", "0.9", "--target", "macs=0.5")
    assert done.code == 2
    assert "give no --ratio and no --target" in done.complaint
