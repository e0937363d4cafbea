"""Normalising a model and asking ONNX Runtime whether it still computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from graphprune.load import load, to_form
from graphprune.normalise import normalise

Agree = Callable[..., ir.Model]


def run(model: onnx.ModelProto, feeds: dict[str, Any], reference: bool = False) -> list[Any]:
    """Returns the outputs of a model, from ONNX Runtime without optimisation or the reference evaluator."""
    if reference:
        return list(ReferenceEvaluator(model).run(None, feeds))
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[Any] = session.run(None, feeds)
    return results


def random_feeds(model: onnx.ModelProto, seed: int = 0) -> dict[str, Any]:
    """Returns a value for each input that has no initializer; symbolic sizes become 3."""
    generator = np.random.default_rng(seed)
    given = {tensor.name for tensor in model.graph.initializer}
    feeds: dict[str, Any] = {}
    for value in model.graph.input:
        if value.name in given:
            continue
        dims = value.type.tensor_type.shape.dim
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else 3 for dim in dims)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = generator.standard_normal(shape).astype(dtype)
    return feeds


@pytest.fixture
def agree() -> Agree:
    """Returns a function that normalises a proto, checks that it gives the same, and returns the result."""

    def check(
        model: onnx.ModelProto, tolerance: float = 0.0, reference: bool = False, **feeds: Any
    ) -> ir.Model:
        source = load(model).model
        before = ir.to_proto(source).SerializeToString(deterministic=True)
        result = normalise(source)
        proto = to_form(result, "proto")
        assert isinstance(proto, onnx.ModelProto)
        assert ir.to_proto(source).SerializeToString(deterministic=True) == before
        assert [value.name for value in proto.graph.input] == [value.name for value in model.graph.input]
        assert [value.name for value in proto.graph.output] == [value.name for value in model.graph.output]
        onnx.checker.check_model(proto)
        feeds = {**random_feeds(model), **feeds}
        for expected, found in zip(run(model, feeds, reference), run(proto, feeds), strict=True):
            if tolerance:
                np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(found, expected)
        return result

    return check


def with_weights(text: str, **weights: Any) -> onnx.ModelProto:
    """Returns the model of an ONNX text, with initializers; a tuple of sizes stands for random floats."""
    model = onnx.parser.parse_model(text)
    generator = np.random.default_rng(1)
    for name, value in weights.items():
        array = generator.standard_normal(value).astype(np.float32) if isinstance(value, tuple) else value
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return model


@pytest.fixture
def build() -> Callable[..., onnx.ModelProto]:
    return with_weights


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.fixture
def ops() -> Callable[[ir.Model], list[str]]:
    return operators


@pytest.fixture
def execute() -> Callable[..., list[Any]]:
    return run


@pytest.fixture
def feeds_for() -> Callable[[onnx.ModelProto], dict[str, Any]]:
    return random_feeds
