"""Merging looks at weights alone, so inputs that are given change nothing but what the result is judged on."""

from __future__ import annotations

import numpy as np
import onnx

import graphprune


def test_inputs_change_nothing() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 6] x) => (float[n, 3] y)'
        " { a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }"
    )
    draw = np.random.default_rng(1)
    for name, shape in (("w", (6, 8)), ("v", (8, 3))):
        values = draw.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    given = {"x": draw.normal(size=(64, 6)).astype(np.float32)}
    alone, with_inputs = (graphprune.prune(model, 0.5, recipe="intra-fusion", calib=c) for c in (None, given))
    assert alone.model.SerializeToString() == with_inputs.model.SerializeToString()
    assert with_inputs.report["judged_on"] == "the calibration inputs, which nothing was learnt from"
    assert alone.report["method"]["calibration"]["synthetic"]
    assert with_inputs.report["method"]["calibration"]["synthetic"]
