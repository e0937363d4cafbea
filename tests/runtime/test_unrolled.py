"""A loop that was written out runs at the length it was traced with, and at no shorter one."""

from __future__ import annotations

import numpy as np
import onnx

from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.record import record

STEPS = 14


def test_the_length_is_found() -> None:
    steps = " ".join(f"s{k} = Gather <axis = 1> (x, i{k})" for k in range(STEPS))
    numbers = ", ".join(f"int64 i{k} = {{{k}}}" for k in range(STEPS))
    total = " + ".join(f"s{k}" for k in range(STEPS)).replace(" + ", ", ")
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> net (float[n, sequence, 3] x) => (float[n, 2] y) <{numbers}>'
        f"{{ {steps} t = Sum({total}) y = MatMul(t, W) }}"
    )
    weight = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "W"))
    recording = record(normalise(load(model).model))
    assert recording.method == "run", recording.note
    assert recording.shapes["x"][1] >= STEPS
