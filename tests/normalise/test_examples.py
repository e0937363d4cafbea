"""Models that the onnx package ships: a few networks without weights, and one per operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

from graphprune.load import load, save, to_form
from graphprune.normalise import normalise, reshare

Execute = Callable[..., list[Any]]
FeedsFor = Callable[[onnx.ModelProto], dict[str, Any]]
LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("light_*.onnx"))


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_networks_without_weights_are_not_blown_up(path: Path, tmp_path: Path) -> None:
    source = load(path)
    result = normalise(source.model)
    assert source.model.ir_version == result.ir_version == 3
    assert [node.op_type for node in result.graph] == [node.op_type for node in source.model.graph]
    assert [value.name for value in result.graph.inputs] == [
        value.name for value in source.model.graph.inputs
    ]
    assert all(node.name for node in result.graph)
    assert save(result, tmp_path / "out.onnx", source=source) < 2 * source.size_bytes
    onnx.checker.check_model(tmp_path / "out.onnx")


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_networks_compute_the_same(name: str, execute: Execute, feeds_for: FeedsFor) -> None:
    (path,) = [path for path in LIGHT if path.stem == f"light_{name}"]
    model = onnx.load(path)
    result = normalise(load(path).model)
    reshare(result)
    proto = to_form(result, "proto")
    feeds = feeds_for(model)
    for expected, found in zip(execute(model, feeds), execute(proto, feeds), strict=True):
        np.testing.assert_array_equal(found, expected)


OPERATORS = (
    *("Attention", "BatchNormalization", "Clip", "Concat", "Conv", "Einsum", "Gather", "Gemm", "GRU", "If"),
    *("LayerNormalization", "Loop", "LSTM", "MatMul", "Pad", "Reshape", "Resize", "Scan", "Slice", "Split"),
)


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Any]]:
    """Returns test cases of each operator; those of its function are under `<operator> expanded`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases overflow on purpose
        found: dict[str, list[Any]] = {}
        for operator in OPERATORS:
            for case in collect_testcases(operator):
                kind = f"{operator} expanded" if "_expanded" in case.name else operator
                if len(found.setdefault(kind, [])) < 12:
                    found[kind].append(case)
    return found


@pytest.mark.parametrize(
    "kind", [*OPERATORS, "Attention expanded", "Clip expanded", "LayerNormalization expanded"]
)
def test_operators(kind: str, cases: dict[str, list[Any]], execute: Execute) -> None:
    compared = 0
    for case in cases[kind]:
        (inputs, _), *_ = case.data_sets
        names = [value.name for value in case.model.graph.input]
        if len(names) != len(inputs) or not all(isinstance(array, np.ndarray) for array in inputs):
            continue
        feeds = dict(zip(names, inputs, strict=True))
        try:
            expected = execute(case.model, feeds)
        except Exception:  # a type that the runtime has no kernel for
            continue
        proto = to_form(normalise(load(case.model).model), "proto")
        for array, found in zip(expected, execute(proto, feeds), strict=True):
            np.testing.assert_array_equal(found, array, err_msg=case.name)
        compared += 1
    assert compared
