"""Faults on models that are none are blamed on the model; on those that run they stay faults."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import graphprune
from graphprune import finish, pipeline
from graphprune.errors import ModelError
from graphprune.validate import blamed_on_model


def model(body: str) -> onnx.ModelProto:
    """A model of float `x` and weights `w`, 8 x 12, and `v`, 12 x 4."""
    made = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[n, 8] x) => (float[n, 4] y) {{ {body} }}'
    )
    for name, shape in (("w", (8, 12)), ("v", (12, 4))):
        values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return made


VALID = "h = MatMul (x, w) a = Relu (h) y = MatMul (a, v)"
INVALID = {
    "axis that is not there": "h = MatMul (x, w) a = Softmax <axis = 9> (h) y = MatMul (a, v)",
    "transposed by too much": "h = MatMul (x, w) a = Transpose <perm = [0, 1, 2]> (h) y = MatMul (a, v)",
    "widths that do not meet": "h = MatMul (x, w) a = Relu (h) y = MatMul (a, w)",
}


@pytest.mark.parametrize("case", INVALID)
def test_models_that_are_none(case: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "bad.onnx"
    onnx.save(model(INVALID[case]), path)
    done = cli(path, "--recipe", "plain", "-q", "--no-benchmark")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["bad.onnx"]


def test_a_fault_on_a_model_that_is_none() -> None:
    with (
        pytest.raises(ModelError, match=r"seems not to be valid: .*axis.*given up at IndexError\('here'\)"),
        blamed_on_model(ir.from_proto(model(INVALID["axis that is not there"]))),
    ):
        raise IndexError("here")


@pytest.mark.parametrize("fault", [IndexError, KeyError, ValueError, TypeError, AssertionError])
def test_a_fault_on_a_model_that_runs_stays_one(fault: type[Exception]) -> None:
    with pytest.raises(fault, match="here"), blamed_on_model(ir.from_proto(model(VALID))):
        raise fault("here")


@pytest.mark.parametrize(
    ("module", "place"), [(pipeline, "normalise"), (pipeline, "prepare_normal"), (finish, "rewrite")]
)
def test_faults_of_graphprune_are_not_hidden(
    module: ModuleType, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("a fault of ours")

    monkeypatch.setattr(module, place, broken)
    with pytest.raises(IndexError, match=re.escape("a fault of ours")):
        graphprune.prune(model(VALID), recipe="plain")


def test_a_model_that_lacks_a_kernel_only_is_not_to_blame() -> None:
    lacking = model(VALID.replace("Relu (h)", "Relu (h) z = nobody.Swish (x)"))
    lacking.opset_import.append(onnx.helper.make_opsetid("nobody", 1))
    with pytest.raises(IndexError, match="here"), blamed_on_model(ir.from_proto(lacking)):
        raise IndexError("here")
