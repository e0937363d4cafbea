"""Matrix form is exact: rows times the matrix, plus the bias, is what ONNX Runtime computes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.analysis import analyse_model
from graphprune.normalise import normalise
from graphprune.runtime import record
from graphprune.runtime.session import open_session
from graphprune.statistics import Statistics, find_linear

CASES = {
    "conv": ("float[2,3,9,8] x", "float[5,3,3,3] w, float[5] b", "y = Conv<pads=[1,1,1,1]>(x, w, b)"),
    "conv strided": ("float[2,3,9,8] x", "float[5,3,3,2] w", "y = Conv<strides=[2,3],pads=[1,0,2,1]>(x, w)"),
    "conv dilated": ("float[2,3,9,8] x", "float[5,3,3,2] w", "y = Conv<dilations=[2,3]>(x, w)"),
    "conv same": (
        "float[2,3,9,8] x",
        "float[5,3,3,2] w",
        'y = Conv<auto_pad="SAME_UPPER",strides=[2,2]>(x, w)',
    ),
    "conv same lower": ("float[2,3,9,8] x", "float[5,3,4,2] w", 'y = Conv<auto_pad="SAME_LOWER">(x, w)'),
    "conv grouped": ("float[2,6,7,7] x", "float[4,3,3,3] w", "y = Conv<group=2>(x, w)"),
    "conv depthwise": ("float[2,4,7,7] x", "float[8,1,3,3] w, float[8] b", "y = Conv<group=4>(x, w, b)"),
    "conv 1d": ("float[2,3,11] x", "float[5,3,4] w", "y = Conv<strides=[2]>(x, w)"),
    "conv 3d": ("float[1,2,5,6,4] x", "float[3,2,2,3,2] w", "y = Conv<pads=[1,0,1,0,1,0]>(x, w)"),
    "conv transposed": (
        "float[2,4,5,6] x",
        "float[4,3,4,4] w, float[3] b",
        "y = ConvTranspose<strides=[2,2],pads=[1,1,1,1]>(x, w, b)",
    ),
    "conv transposed, uneven": (
        "float[2,4,5,6] x",
        "float[4,3,6,2] w",
        "y = ConvTranspose<strides=[3,1],pads=[0,1,2,0],output_padding=[1,0]>(x, w)",
    ),
    "conv transposed, grouped": (
        "float[2,6,7] x",
        "float[6,2,4] w, float[4] b",
        "y = ConvTranspose<strides=[2],group=2,pads=[1,0]>(x, w, b)",
    ),
    "conv transposed, plain": ("float[2,4,5] x", "float[4,3,3] w", "y = ConvTranspose(x, w)"),
    "matmul": ("float[2,5,6] x", "float[6,4] w", "y = MatMul(x, w)"),
    "matmul stacked": ("float[2,3,5,6] x", "float[3,6,4] w", "y = MatMul(x, w)"),
    "gemm": ("float[5,6] x", "float[6,4] w, float[4] b", "y = Gemm(x, w, b)"),
    "gemm turned": ("float[5,6] x", "float[4,6] w, float[4] b", "y = Gemm<transB=1,alpha=0.5>(x, w, b)"),
    "gemm of a turned input": ("float[6,5] x", "float[6,4] w, float[4] b", "y = Gemm<transA=1>(x, w, b)"),
    "gemm all turned": ("float[6,5] x", "float[4,6] w", "y = Gemm<transA=1,transB=1,alpha=2.0>(x, w)"),
    "gemm, weight first": ("float[6,5] x", "float[4,6] w", "y = Gemm(w, x)"),
    "weight first": ("float[6,5] x", "float[4,6] w", "y = MatMul(w, x)"),
    "weight first, samples": ("float[2,3,6,5] x", "float[4,6] w", "y = MatMul(w, x)"),
    "weight first, stacked": ("float[2,3,6,5] x", "float[3,4,6] w", "y = MatMul(w, x)"),
    "fused matmul": (
        "float[2,6,5] x",
        "float[4,6] w",
        "y = com.microsoft.FusedMatMul<transA=1,transB=1,alpha=0.5>(x, w)",
    ),
    "einsum": (
        "float[2,5,6] x",
        "float[6,3,4] w, float[3,4] b",
        """z = Einsum<equation="abc,cde->abde">(x, w)
 y = Add(z, b)""",
    ),
    "einsum, two axes": ("float[2,5,3,4] x", "float[3,4,6] w", 'y = Einsum<equation="abcd,cde->abe">(x, w)'),
    "einsum, blocks": ("float[2,5,3,4] x", "float[3,4,6] w", 'y = Einsum<equation="abhd,hde->hbae">(x, w)'),
    "einsum, weight first": (
        "float[2,6,5] x",
        "float[4,6] w",
        'y = Einsum<equation="oi,...ir->...or">(w, x)',
    ),
    "einsum, implicit": ("float[5,6] x", "float[6,4] w", 'y = Einsum<equation="ab,bc">(x, w)'),
    "weight moved": ("float[2,5,6] x", "float[4,6] v", "w = Transpose<perm=[1,0]>(v)\n y = MatMul(x, w)"),
}


def made(inputs: str, weights: str, body: str) -> ir.Model:
    """A model of one linear operator with random weights."""
    draw = np.random.default_rng(3)
    graph = onnx.parser.parse_graph(f"g ({inputs}, {weights}) => (float y) {{ {body} }}")
    for value in list(graph.input)[1:]:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        graph.initializer.append(
            onnx.numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), value.name)
        )
    del graph.input[1:]
    graph.output[0].type.tensor_type.ClearField("shape")
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8))


@pytest.mark.parametrize("name", CASES)
def test_rows_times_matrix_is_the_operator(name: str) -> None:
    model = normalise(made(*CASES[name]))
    recording = record(model)
    analysis = analyse_model(model, recording)
    (item,) = find_linear(analysis)
    x = recording.feeds["x"]
    with open_session(model, optimise=False) as session:
        y = session.run({"x": x})["y"]
    stored = analysis.facts.weights[item.weight].numpy()
    matrix = item.layout.matrix(item.view(stored)) * item.gain
    rows = item.layout.rows(x, item.shape, None)
    found = np.einsum("grc,gnc->grn", rows, matrix)
    if item.bias:
        bias = analysis.facts.weights[item.bias].numpy()
        found += np.repeat(bias, matrix[..., 0].size // bias.size).reshape(len(matrix), 1, -1)
    expected = item.layout.outputs(y, item.shape, None)
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert item.layout.count(x, item.shape) == rows.shape[1]
    chosen = np.arange(0, rows.shape[1], 2)
    np.testing.assert_array_equal(item.layout.rows(x, item.shape, chosen), rows[:, chosen])
    back = item.stored(item.layout.tensor(item.layout.matrix(item.view(stored)), item.shape), stored)
    np.testing.assert_array_equal(back, stored)


def test_transposed_convolution_without_overlap() -> None:
    """Stride equal to the kernel: every output has one contribution, so the form is exact."""
    model = normalise(made("float[2,4,3,5] x", "float[4,3,2,2] w", "y = ConvTranspose<strides=[2,2]>(x, w)"))
    recording = record(model)
    analysis = analyse_model(model, recording)
    (item,) = find_linear(analysis)
    with open_session(model, optimise=False) as session:
        y = session.run({"x": recording.feeds["x"]})["y"]
    matrix = item.layout.matrix(analysis.facts.weights["w"].numpy())
    rows = item.layout.rows(recording.feeds["x"], item.shape, None)
    found = np.einsum("grc,gnc->grn", rows, matrix)[0].reshape(2, 3, 5, 3, 2, 2)
    np.testing.assert_allclose(found.transpose(0, 3, 1, 4, 2, 5).reshape(y.shape), y, rtol=1e-4, atol=1e-4)


def test_moments_are_those_of_numpy() -> None:
    model = normalise(made(*CASES["matmul"]))
    recording = record(model)
    analysis = analyse_model(model, recording)
    draw = np.random.default_rng(1)
    batches = [{"x": (draw.normal(size=(2, 5, 6)) * 3 + 100).astype(np.float32)} for _ in range(40)]
    statistics = Statistics(model, analysis, batches)
    (item,) = statistics.linear
    (moments,) = statistics.moments(item)
    learnt = [b["x"] for b in batches if not any(b is t for t in statistics.trials)]
    assert len(learnt) == 35  # the others are for trials
    rows = np.concatenate(learnt).reshape(-1, 6).astype(np.float64)
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T, bias=True), rtol=1e-4, atol=1e-4)


def test_merged_moments_are_those_of_all_rows() -> None:
    from graphprune.statistics import Moments

    draw = np.random.default_rng(2)
    rows, targets = draw.normal(size=(900, 4)), draw.normal(size=(900, 3)) + 5
    parts = Moments(), Moments(), Moments()
    for moments, part in zip(parts, (slice(0, 300), slice(300, None), slice(None)), strict=True):
        moments.add(rows[part].astype(np.float32), targets[part].astype(np.float32))
    both = parts[0].merged(parts[1])
    for name in ("mean", "mean_y", "covariance", "cross", "variance_y"):
        np.testing.assert_allclose(getattr(both, name), getattr(parts[2], name), rtol=1e-4, atol=1e-5)
