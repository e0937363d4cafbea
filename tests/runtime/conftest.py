"""Models for these tests, written as ONNX text; weights are given as arrays."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

HEADER = '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>\n'


def _build(text: str, **weights: np.ndarray) -> ir.Model:
    proto = onnx.parser.parse_model(text if text.lstrip().startswith("<") else HEADER + text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(value, name) for name, value in weights.items()
    )
    return ir.from_proto(proto)


@pytest.fixture
def build() -> Callable[..., ir.Model]:
    """`build(text, w=array, …)`: a model from ONNX text with the arrays as initializers."""
    return _build


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
