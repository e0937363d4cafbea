"""Merging looks at weights alone, so inputs that are given change nothing but what the result is judged on."""

from __future__ import annotations

import numpy as np
import onnx

import graphprune


def test_inputs_change_nothing(perceptron: onnx.ModelProto) -> None:
    given = {"x": np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)}
    alone, with_inputs = (
        graphprune.prune(perceptron, 0.5, recipe="intra-fusion", calib=c) for c in (None, given)
    )
    assert alone.model.SerializeToString() == with_inputs.model.SerializeToString()
    assert with_inputs.report["judged_on"] == "the calibration inputs, which nothing was learnt from"
    assert alone.report["method"]["calibration"]["synthetic"]
    assert with_inputs.report["method"]["calibration"]["synthetic"]
