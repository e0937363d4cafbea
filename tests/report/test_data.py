"""The parts of a report: layers, sensitivity, overlay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.report.sensitivity import sensitivity

BUNDLED = ("vit", "resnet_se", "densenet", "unet", "bilstm", "textformer")


def test_layers_of_the_small_net(small: onnx.ModelProto) -> None:
    layers = graphprune.prune(small, ratio=0.5, recipe="plain").report["layers"]
    assert [(r["op"], r["before"]["width"], r["after"]["width"]) for r in layers] == [
        ("Gemm", 12, 6),
        ("MatMul", 10, 5),
        ("MatMul", 4, 4),
    ]
    assert [(r["before"]["params"], r["after"]["params"]) for r in layers] == [(96, 48), (120, 30), (40, 20)]
    assert layers[0]["groups"] == ["first_weight[1]"]


@pytest.mark.parametrize("model", BUNDLED)
def test_layers_add_up(model: str, bundled: Callable[[str], Path]) -> None:
    report = graphprune.prune(bundled(model), ratio=0.5, recipe="plain", verify=False).report
    for when in ("before", "after"):
        total = sum(row[when]["macs"] for row in report["layers"])
        total += report["unread_macs"] if when == "before" else 0
        assert total == pytest.approx(report[when]["macs"], rel=1e-3)
        assert sum(row[when]["params"] for row in report["layers"]) <= report[when]["params"] * 1.2
    assert any(row["after"]["width"] < row["before"]["width"] for row in report["layers"] if row["groups"])


def test_weights_behind_dequantisation_belong_to_their_reader() -> None:
    first, last = (", ".join(map(str, range(1, n))) for n in (25, 13))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        quantised (float[batch, 4] x) => (float[batch, 2] y)
        <int8[4, 6] first = {{{first}}}, float scale = {{0.1}}, float[6, 2] last = {{{last}}}>
        {{
          w = DequantizeLinear (first, scale)
          h = MatMul (x, w)
          y = MatMul (h, last)
        }}
        """)
    layers = graphprune.prune(model, ratio=0.5, recipe="plain").report["layers"]
    assert [(r["op"], r["before"]["params"], r["after"]["params"]) for r in layers] == [
        ("MatMul", 24, 12),
        ("MatMul", 12, 6),
    ]


def test_sensitivity_of_rows() -> None:
    """Where other slots go in each row, a curve is the sum over rows."""
    found = sensitivity(np.array([[1.0, 3.0], [2.0, 4.0]]), 1)
    assert found == {"total": 10.0, "lost": 0.3, "curve": [[0.0, 0.0], [0.5, 0.3], [1.0, 1.0]]}


@pytest.mark.parametrize("scores", [[0.0, 0.0], [-1.0, 2.0], [np.inf, np.inf]])
def test_scores_that_are_no_amount_have_no_curve(scores: list[float]) -> None:
    assert sensitivity(np.array(scores), 1) is None


def test_infinite_scores_count_as_the_largest() -> None:
    found = sensitivity(np.array([1.0, np.inf, 3.0]), 2)
    assert found is not None
    assert found["total"] == 7.0


def test_overlay(cli: Any, bundled: Callable[[str], Path], tmp_path: Path) -> None:
    file = tmp_path / "overlay.json"
    model = bundled("vit")
    done = cli(model, "--recipe", "plain", "-q", "--dry-run", "--overlay", file)
    assert done.code == 0, done.err
    ((graph, data),) = json.loads(file.read_text()).items()
    proto = onnx.load(model).graph
    assert graph == proto.name
    assert data["results"].keys() <= {n.name for n in proto.node}
    values = [v["value"] for v in data["results"].values()]
    assert 0 < max(values) <= 100
    assert [g["stop"] for g in data["gradient"]] == [0, 1]


@pytest.mark.parametrize("model", BUNDLED)
def test_names_stay_readable(model: str, bundled: Callable[[str], Path]) -> None:
    """A viewer shows the pruned model beside the original under the same names."""
    original = onnx.load(bundled(model)).graph
    pruned = graphprune.prune(bundled(model), ratio=0.5, recipe="plain", verify=False).model.graph
    nodes = {n.name for n in original.node}
    assert {n.name for n in pruned.node if n.op_type in ("Conv", "Gemm", "MatMul", "LSTM")} <= nodes
    known = (*nodes, *(o for n in original.node for o in n.output))
    for name in (x for n in pruned.node for x in (n.name, *n.output)):
        assert name.startswith(known), f"{name} has nothing of the original's names"
