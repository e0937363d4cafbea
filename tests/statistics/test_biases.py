"""Biases that are opened for a repair and taken out again."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.statistics import drop_zero_biases, open_biases
from graphprune.statistics.linear import find_linear
from graphprune.testing import analysed
from tests.rules.building import build

NETS = {
    "Conv": "n (float[n, 3, 8, 8] x) => (float[a, b, c, d] y) <float[4, 3, 3, 3] A> { y = Conv(x, A) }",
    "Gemm": "n (float[n, 8] x) => (float[a, b] y) <float[8, 4] A> { y = Gemm(x, A) }",
    "LSTM": "n (float[5, n, 8] x) => (float[a, b, c, d] y) <float[1, 24, 8] A, float[1, 24, 6] R>"
    " { y = LSTM <hidden_size = 6> (x, A, R) }",
}


@pytest.mark.parametrize("op", NETS)
def test_a_bias_that_stays_zero_leaves_no_trace(op: str) -> None:
    """A missing operand at the end would keep the runtime from laying convolutions out in blocks."""
    normal, analysis = analysed(build(NETS[op]))
    opened, _, names = open_biases(normal, analysis.recording, find_linear(analysis))
    assert names
    assert drop_zero_biases(opened, names) > 0
    (node,) = opened.graph
    assert [v.name for v in node.inputs if v] == [v.name for v in node.inputs]
    assert len(node.inputs) == len(next(iter(normal.graph)).inputs)


def test_a_bias_that_is_used_stays() -> None:
    normal, analysis = analysed(build(NETS["Conv"]))
    opened, _, names = open_biases(normal, analysis.recording, find_linear(analysis))
    (name,) = names
    opened.graph.initializers[name].const_value = ir.tensor(np.ones(4, np.float32), name=name)
    assert drop_zero_biases(opened, names) == 0
    assert len(next(iter(opened.graph)).inputs) == 3
