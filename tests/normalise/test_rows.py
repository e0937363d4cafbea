"""Rows that nobody reads are not computed, and the numbers stay the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import graphprune
from graphprune.analysis import CostModel
from graphprune.analysis.prepare import prepare
from graphprune.load import load

WEIGHTS = {"w1": (8, 24), "b1": (24,), "w2": (24, 8), "s": (8,), "b": (8,), "w3": (8, 5), "table": (6, 8)}
BODY = """h = MatMul(x, w1) i = Add(h, b1) j = Relu(i) k = MatMul(j, w2) l = Add(x, k)
 z = LayerNormalization<axis=-1>(l, s, b) """
TAKEN = {
    "scalar": "i0 = Constant<value = int64 {0}>() t = Gather<axis=1>(z, i0) y = MatMul(t, w3)",
    "list": "i0 = Constant<value_ints=[2, 0]>() t = Gather<axis=1>(z, i0) y = MatMul(t, w3)",
    "last": "i0 = Constant<value_ints=[-1]>() t = Gather<axis=-2>(z, i0) y = MatMul(t, w3)",
    "slice": "a = Constant<value_ints=[0]>() e = Constant<value_ints=[1]>() q = Constant<value_ints=[1]>() "
    "t = Slice(z, a, e, q) y = MatMul(t, w3)",
    "slice of the last": "a = Constant<value_ints=[-1]>() e = Constant<value_ints=[9223372036854775807]>() "
    "q = Constant<value_ints=[1]>() t = Slice(z, a, e, q) y = MatMul(t, w3)",
    "two readers": "i0 = Constant<value = int64 {0}>() i1 = Constant<value = int64 {3}>() "
    "t = Gather<axis=1>(z, i0) u = Gather<axis=1>(z, i1) v = Add(t, u) y = MatMul(v, w3)",
}
LEFT_ALONE = {
    "read elsewhere": BODY + "i0 = Constant<value = int64 {0}>() t = Gather<axis=1>(z, i0) "
    "m = ReduceMax<keepdims=0>(z) u = Add(t, m) y = MatMul(u, w3)",
    "rows of a table": "o = Add(x, table) " + BODY.replace("(x,", "(o,") + TAKEN["scalar"],
    "columns": BODY + "i0 = Constant<value = int64 {0}>() y = Gather<axis=2>(z, i0)",
    "other rows matter": BODY.replace("j = Relu(i)", "j = Softmax<axis=1>(i)").replace("w2) l", "w2) l")
    + "p = Softmax<axis=1>(z) i0 = Constant<value = int64 {0}>() t = Gather<axis=1>(p, i0) y = MatMul(t, w3)",
    "no product to spare": "m = MatMul(x, w1) n = Softmax<axis=1>(m) i0 = Constant<value = int64 {0}>() "
    "r = Relu(n) y = Gather<axis=1>(r, i0)",
}


def model_of(body: str) -> onnx.ModelProto:
    draw = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[n, 6, 8] x) => (float[] y) {{ {body} }}'
    )
    used = {n for node in model.graph.node for n in node.input}
    for name, shape in WEIGHTS.items():
        if name in used:
            values = draw.standard_normal(shape).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return onnx.shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto) -> np.ndarray:
    feeds = {"x": np.random.default_rng(1).standard_normal((3, 6, 8)).astype(np.float32)}
    return ort.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def macs(model: onnx.ModelProto) -> tuple[int, int]:
    """As it is computed now, and as it was given."""
    costs = CostModel(prepare(load(model).model)[1])
    return costs.cost().macs, costs.original().macs


@pytest.mark.parametrize("taken", sorted(TAKEN))
def test_same_numbers_for_less(taken: str) -> None:
    model = model_of(BODY + TAKEN[taken])
    now, given = macs(model)
    rows = 2 if taken in ("list", "two readers") else 1
    read = 1 if taken == "two readers" else rows
    assert given == 6 * 2 * 8 * 24 + read * 8 * 5
    assert now == rows * 2 * 8 * 24 + read * 8 * 5
    result = graphprune.prune(model, 0.5, recipe="plain")
    assert result.report["equivalence"]["status"] == "equal"
    assert result.report["before"]["macs"] == given
    np.testing.assert_allclose(run(onnx_model(model)), run(model), rtol=1e-5, atol=1e-5)


def onnx_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """The narrowed model as a file would hold it."""
    import onnx_ir as ir

    return ir.to_proto(prepare(load(model).model)[0])


@pytest.mark.parametrize("form", sorted(LEFT_ALONE))
def test_left_alone(form: str) -> None:
    now, given = macs(model_of(LEFT_ALONE[form]))
    assert now == given


def test_a_target_counts_from_the_model_as_given() -> None:
    """What nobody reads is the first to go, so here nothing else has to."""
    model = model_of(BODY + TAKEN["scalar"])
    report = graphprune.prune(model, target="macs=0.5", recipe="plain").report
    assert report["after"]["macs"] <= 0.5 * report["before"]["macs"]
