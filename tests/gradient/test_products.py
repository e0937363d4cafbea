"""Every vector-Jacobian product against finite differences of the operator itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from graphprune.analysis.facts import read_graph
from graphprune.gradient import along, backward, differentiable
from graphprune.gradient.backward import PRODUCTS
from graphprune.load import load
from graphprune.runtime.session import open_session

Array = np.ndarray[Any, Any]
SIZES = {"x": (2, 4, 6), "a": (4, 1), "m": (6, 5), "v": (6,), "c": (2, 4, 5, 6), "k": (6, 2, 3, 2), "s": (6,)}
ONE_INPUT = (
    "Abs Celu Cos Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu LogSoftmax Mish Neg Relu Selu "
    "Sigmoid Sin Softmax Softplus Softsign Tanh"
).split()

# Outputs, then what gives them; inputs are the names of SIZES, "p" stands for x made positive.
CASES = {
    **{op: f"y = {op}(x)" for op in ONE_INPUT},
    **{op: f"p = Exp(x) y = {op}(p)" for op in ("Log", "Reciprocal", "Sqrt")},
    **{op: f"y = {op}(x, a)" for op in ("Add", "Mul", "Sub", "Max", "Mean", "Min", "Sum")},
    "BatchNormalization": "t = Transpose<perm=[0,2,1]>(x) q = Exp(s) y = BatchNormalization(t, s, v, v, q)",
    "AveragePool": "y = AveragePool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1]>(c)",
    "AveragePoolPadded": "y = AveragePool<kernel_shape=[2,2], pads=[0,1,1,0], count_include_pad=1>(c)",
    "Cast": "y = Cast<to=11>(x)",
    "CastLike": "y = CastLike(x, a)",
    "Clip": "low = Constant<value = double {-0.5}>() high = Constant<value = double {0.7}>() "
    "y = Clip(x, low, high)",
    "Concat": "z = Mul(x, a) y = Concat<axis=1>(x, z, x)",
    "Conv": "y = Conv<group=2, strides=[2,1], pads=[1,0,2,1], dilations=[1,2]>(c, k, s)",
    "ConvTranspose": "j = Constant<value_ints=[0]>() e = Constant<value_ints=[4]>() w = Slice(k, j, e, j) "
    "y = ConvTranspose<strides=[2,1], pads=[1,0,0,1], output_padding=[1,0]>(c, w)",
    "CumSum": "i = Constant<value_int=1>() y = CumSum(x, i)",
    "CumSum of what lies behind": "i = Constant<value_int=-1>() y = CumSum<exclusive=1, reverse=1>(x, i)",
    "DepthToSpace": "y = DepthToSpace<blocksize=2>(c)",
    "DepthToSpace CRD": 'y = DepthToSpace<blocksize=2, mode="CRD">(c)',
    "Div": "q = Exp(a) y = Div(x, q)",
    "Dropout": "y = Dropout(x)",
    "Einsum": 'y = Einsum<equation="bij, jk -> bki">(x, m)',
    "Einsum of a batch": 'y = Einsum<equation="bik,bjk->bij">(x, x)',
    "Einsum of three": 'y = Einsum<equation="bij,jk,j->k">(x, m, v)',
    "Einsum that sums and repeats": 'y = Einsum<equation="bij,kl->bk">(x, a)',
    "Einsum with dots": 'y = Einsum<equation="...j,...j,jk->k...">(x, v, m)',
    "Einsum that does not say": 'y = Einsum<equation="bij,jk">(x, m)',
    "Expand": "n = Constant<value_ints=[3,4,2]>() y = Expand(a, n)",
    "Flatten": "y = Flatten<axis=2>(x)",
    "Gather": "i = Constant<value_ints=[3,0,3]>() y = Gather<axis=1>(x, i)",
    "GatherElements": "i = Constant<value = int64[2,2,6] {0,1,3,1,2,0, 3,3,3,-1,0,1, 2,2,0,0,1,1, 1,0,3,2,0,1}>() "
    "y = GatherElements<axis=1>(x, i)",
    "GatherND": "i = Constant<value = int64[3,2] {0,1, 1,-1, 0,1}>() y = GatherND(x, i)",
    "GatherND in batches": "i = Constant<value = int64[2,3,1] {0,1,1, 3,-1,0}>() y = GatherND<batch_dims=1>(x, i)",
    "Gelu tanh": 'y = Gelu<approximate="tanh">(x)',
    "Gemm": "z = Flatten<axis=2>(x) y = Gemm<alpha=0.5, beta=2.0>(z, m)",
    "Gemm turned": "z = Flatten<axis=2>(x) t = Transpose(z) u = Transpose(m) "
    "w = Constant<value_ints=[5]>() b = Gemm<transA=1, transB=1>(t, u) y = Gemm<transB=1>(z, u, b)",
    "GlobalMaxPool": "y = GlobalMaxPool(c)",
    "GlobalAveragePool": "y = GlobalAveragePool(c)",
    "InstanceNormalization": "t = Transpose<perm=[0,2,1]>(x) y = InstanceNormalization<epsilon=0.01>(t, s, v)",
    "LayerNormalization": "y = LayerNormalization<axis=-1, epsilon=0.01>(x, s, v)",
    "LpNormalization": "y = LpNormalization<axis=1>(x)",
    "MatMul": "y = MatMul(x, m)",
    "MatMul of activations": "t = Transpose<perm=[0,2,1]>(x) y = MatMul(x, t)",
    "MatMul of a vector": "y = MatMul(x, v)",
    "MaxPool": "y = MaxPool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1], dilations=[1,2]>(c)",
    "MaxPool to the end": "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(c)",
    "Pad": "n = Constant<value_ints=[1,0,0,2]>() i = Constant<value_ints=[2,1]>() y = Pad(x, n, , i)",
    "Pad reflect": 'n = Constant<value_ints=[0,1,2,0,0,3]>() y = Pad<mode="reflect">(x, n)',
    "Pad edge": 'n = Constant<value_ints=[0,0,2,0,0,1]>() y = Pad<mode="edge">(x, n)',
    "Resize": "n = Constant<value_floats=[1.0,1.0,2.0,2.0]>() y = Resize<"
    'coordinate_transformation_mode="asymmetric", nearest_mode="floor">(c, , n)',
    "Resize linear": 'n = Constant<value_ints=[7,4]>() y = Resize<mode="linear", axes=[2,3]>(c, , , n)',
    "Resize cubic": "n = Constant<value_floats=[1.0,1.0,1.5,2.0]>() y = Resize<"
    'mode="cubic", coordinate_transformation_mode="asymmetric">(c, , n)',
    "PRelu": "y = PRelu(x, a)",
    "Pow": "e = Constant<value = double {3.0}>() y = Pow(x, e)",
    "RMSNormalization": "y = RMSNormalization<epsilon=0.01>(x, s)",
    "ReduceL1": "i = Constant<value_ints=[1]>() y = ReduceL1(x, i)",
    "ReduceL2": "i = Constant<value_ints=[0,-1]>() y = ReduceL2<keepdims=0>(x, i)",
    "ReduceLogSumExp": "i = Constant<value_ints=[2]>() y = ReduceLogSumExp<keepdims=0>(x, i)",
    "ReduceMax": "i = Constant<value_ints=[1]>() y = ReduceMax<keepdims=0>(x, i)",
    "ReduceMean": "i = Constant<value_ints=[-1]>() y = ReduceMean(x, i)",
    "ReduceMin": "i = Constant<value_ints=[1]>() y = ReduceMin(x, i)",
    "ReduceSum": "i = Constant<value_ints=[0,2]>() y = ReduceSum<keepdims=0>(x, i)",
    "ReduceSum of all": "y = ReduceSum(x)",
    "ReduceSumSquare": "i = Constant<value_ints=[1]>() y = ReduceSumSquare<keepdims=0>(x, i)",
    "Reshape": "n = Constant<value_ints=[8,6]>() y = Reshape(x, n)",
    "ScatterElements": "i = Constant<value = int64[1,2,6] {0,1,3,1,2,0, 3,2,1,-1,0,1}>() z = Mul(x, x) "
    "b = Constant<value_ints=[0,0]>() e = Constant<value_ints=[1,2]>() u = Slice(z, b, e) "
    "y = ScatterElements<axis=1>(x, i, u)",
    "ScatterElements that adds": "i = Constant<value = int64[1,2,6] {0,1,3,1,2,0, 0,2,3,-1,0,0}>() z = Mul(x, x) "
    "b = Constant<value_ints=[0,0]>() e = Constant<value_ints=[1,2]>() u = Slice(z, b, e) "
    'y = ScatterElements<axis=1, reduction="add">(x, i, u)',
    "ScatterND": "i = Constant<value = int64[2,2] {0,1, 1,-1}>() z = Constant<value = int64[2,1] {0,3}>() "
    "u = Gather(m, z) k0 = Constant<value_ints=[2,5]>() u1 = Reshape(u, k0) "
    "p0 = Constant<value_ints=[0,0,0,1]>() u2 = Pad(u1, p0) y = ScatterND(x, i, u2)",
    "ScatterND that adds": "i = Constant<value = int64[2,1] {0,1}>() y = ScatterND<reduction=\"add\">(x, i, x)",
    "Slice": "b = Constant<value_ints=[-2,5]>() e = Constant<value_ints=[9,-9]>() "
    "i = Constant<value_ints=[1,2]>() d = Constant<value_ints=[1,-2]>() y = Slice(x, b, e, i, d)",
    "Softmax elsewhere": "y = Softmax<axis=1>(x)",
    "SpaceToDepth": "n = Constant<value_ints=[2,5,4,6]>() r = Reshape(c, n) y = SpaceToDepth<blocksize=2>(r)",
    "Split": "one, two = Split<axis=2, num_outputs=2>(x) y = Mul(one, one)",
    "Squeeze": "i = Constant<value_ints=[1]>() y = Squeeze(a, i)",
    "Swish": "y = Swish<alpha=1.5>(x)",
    "ThresholdedRelu": "y = ThresholdedRelu<alpha=0.3>(x)",
    "Tile": "n = Constant<value_ints=[2,1,3]>() y = Tile(x, n)",
    "TopK": "n = Constant<value_ints=[2]>() y, i = TopK<axis=1>(x, n)",
    "Transpose": "y = Transpose<perm=[2,0,1]>(x)",
    "Trilu": "y = Trilu(x)",
    "Trilu below": "i = Constant<value_int=1>() y = Trilu<upper=0>(x, i)",
    "Unsqueeze": "i = Constant<value_ints=[1]>() y = Unsqueeze(x, i)",
    "Where": "q = Greater(x, a) y = Where(q, x, a)",
}  # fmt: skip

ROUNDED = ("Erf", "Gelu")  # the reference implementation of these is in single precision


def values_of(
    body: str,
) -> tuple[Any, dict[str, Array], Callable[[dict[str, Array]], dict[str, Array]], list[str]]:
    """Facts, the values of all tensors in double precision, what computes them, and the inputs."""
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = [n for n in SIZES if n in words]
    given = ", ".join(f"double{list(SIZES[n])} {n}" for n in used)
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 24]> g ({given}) => (double[] y) {{ {body} }}'
    )
    facts = read_graph(load(model).model)
    draw = np.random.default_rng(0)
    inputs = {n: draw.standard_normal(SIZES[n]) for n in used}
    evaluator = ReferenceEvaluator(model)

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        found = evaluator.run(None, feeds, intermediate=True)
        return {k: np.asarray(v) for k, v in found.items() if k}

    return facts, inputs, run, used


@pytest.mark.parametrize("name", sorted(CASES))
def test_product(name: str) -> None:
    facts, inputs, run, used = values_of(CASES[name])
    assert all(differentiable(n) for n in facts.nodes if n.op != "Constant")
    values = run(inputs)
    draw = np.random.default_rng(1)
    seed = draw.standard_normal(values["y"].shape)
    step, rtol = (1e-3, 1e-3) if name in ROUNDED else (1e-6, 1e-5)
    wanted = [n for n in used if name != "BatchNormalization" or n == "x"]
    nodes = [n for n in facts.nodes if n.op != "Constant"]
    found = backward(nodes, {**inputs, **values}, {"y": seed}, wanted)
    for input_name in wanted:
        way = draw.standard_normal(inputs[input_name].shape)
        ends = [run({**inputs, input_name: inputs[input_name] + e * way})["y"] for e in (step, -step)]
        expected = float(((ends[0] - ends[1]) * seed).sum()) / (2 * step)
        np.testing.assert_allclose(float((found[input_name] * way).sum()), expected, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize(
    ("op", "gates", "extra"),
    [
        ("LSTM", 4, 'direction="bidirectional"'),
        ("LSTM", 4, 'direction="reverse"'),
        ("GRU", 3, 'direction="bidirectional"'),
        ("GRU", 3, 'direction="forward", linear_before_reset=1'),
        ("RNN", 1, 'direction="bidirectional"'),
    ],
)
def test_recurrent(op: str, gates: int, extra: str) -> None:
    """In single precision, because only ONNX Runtime knows both directions."""
    ways = 2 if "bi" in extra else 1
    shapes = {"x": (6, 3, 4), "w": (ways, gates * 5, 4), "r": (ways, gates * 5, 5), "b": (ways, gates * 10)}
    given = ", ".join(f"float{list(s)} {n}" for n, s in shapes.items())
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({given}) => (float[] y, float[] h) '
        f"{{ y, h = {op}<hidden_size=5, {extra}>(x, w, r, b) }}"
    )
    source = load(model)
    facts = read_graph(source.model)
    draw = np.random.default_rng(0)
    values = {n: (draw.standard_normal(s) / 2).astype(np.float32) for n, s in shapes.items()}
    with open_session(source.model) as session:
        outputs = session.run(values)
        seeds = {n: draw.standard_normal(a.shape).astype(np.float32) for n, a in outputs.items()}
        found = backward(facts.nodes, {**values, **outputs}, seeds, list(values))
        for name, array in values.items():
            way = draw.standard_normal(array.shape).astype(np.float32)

            def loss(feeds: dict[str, Array]) -> float:
                return sum(
                    float((a.astype(np.float64) * seeds[n]).sum()) for n, a in session.run(feeds).items()
                )

            ends = [loss({**values, name: array + np.float32(e) * way}) for e in (1e-2, -1e-2)]
            np.testing.assert_allclose(
                float((found[name] * way).sum()), (ends[0] - ends[1]) / 2e-2, rtol=0.02
            )


# The reference implementation pads otherwise, looks at as many channels as there are samples, at signed sums.
ELSEWHERE = {
    "LRN": "y = LRN<size=3, alpha=0.5, beta=0.7, bias=2.0>(x)",
    "MaxPool with as much padding as it takes": 'y = MaxPool<kernel_shape=[2,3], auto_pad="SAME_UPPER">(x)',
    "AveragePool with as much padding as it takes": "y = AveragePool<kernel_shape=[2,3], strides=[2,2], "
    'auto_pad="SAME_LOWER">(x)',
    "AveragePool to the end": "y = AveragePool<kernel_shape=[2,3], strides=[2,2], ceil_mode=1, "
    "pads=[1,0,0,0]>(x)",
    "LpNormalization of sizes": "y = LpNormalization<axis=2, p=1>(x)",
}


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_products_of_what_the_runtime_computes(name: str) -> None:
    model = load(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 17]> g (float[2, 5, 3, 4] x) => (float[] y) {{ {ELSEWHERE[name]} }}'
        )
    ).model
    draw = np.random.default_rng(0)
    x, way = (draw.standard_normal((2, 5, 3, 4)).astype(np.float32) for _ in range(2))
    with open_session(model) as session:
        y = session.run({"x": x})["y"]
        seed = draw.standard_normal(y.shape).astype(np.float32)
        found = backward(read_graph(model).nodes, {"x": x, "y": y}, {"y": seed}, ["x"])["x"]
        ends = [session.run({"x": x + np.float32(e) * way})["y"].astype(np.float64) for e in (1e-3, -1e-3)]
    slope = (ends[0] - ends[1]) / 2e-3
    size = float(np.linalg.norm(slope) * np.linalg.norm(seed))  # of what adds up, however much cancels
    np.testing.assert_allclose(float((found * way).sum()), float((slope * seed).sum()), atol=2e-4 * size)


def test_nothing_attended_to_has_no_gradient() -> None:
    """Exporters put zeros where a softmax of nothing but minus infinity is no number."""
    facts, inputs, run, _ = values_of(
        "y0 = Softmax(x) q = IsNaN(y0) z = Constant<value = double {0.0}>() y = Where(q, z, y0)"
    )
    inputs["x"][0, 1] = -np.inf
    nodes = [n for n in facts.nodes if n.op != "Constant"]
    assert all(differentiable(n) for n in nodes)
    with np.errstate(invalid="ignore"):
        values = run(inputs)
    found = backward(
        nodes, {**inputs, **values}, {"y": np.random.default_rng(0).standard_normal(SIZES["x"])}, ["x"]
    )
    assert np.isfinite(found["x"]).all()
    assert found["x"][0, 0].any()
    assert not found["x"][0, 1].any()


@pytest.mark.parametrize(
    "text", ['Einsum<equation="bij,jj->bi">(x, q)', 'ScatterElements<axis=1, reduction="mul">(x, i, x)']
)
def test_forms_without_a_product(text: str) -> None:
    facts, *_ = values_of(f"i = Constant<value = int64[1,1,1] {{0}}>() q = MatMul(m, m) y = {text}")
    assert not any(differentiable(n) for n in facts.nodes if n.op in ("Einsum", "ScatterElements"))


def test_averages_of_padding_beyond_the_padding_are_left_out() -> None:
    facts, *_ = values_of("y = AveragePool<kernel_shape=[2,2], ceil_mode=1, count_include_pad=1>(c)")
    assert not differentiable(facts.nodes[0])


def test_every_product_is_tested() -> None:
    tested = {c.split("<")[0].split("(")[0].split("= ")[-1] for c in CASES.values()} | set(CASES) | {"LRN"}
    recurrent = {"LSTM", "GRU", "RNN"}
    assert {op for domain, op in PRODUCTS if not domain} - tested - recurrent == set()


def test_what_does_not_matter_has_no_gradient() -> None:
    facts, inputs, run, _ = values_of("z = Mul(x, a) y = Relu(x)")
    found = backward(facts.nodes, {**inputs, **run(inputs)}, {"y": np.ones(SIZES["x"])}, ["a"])
    np.testing.assert_array_equal(found["a"], 0)


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("Resize")])
def test_long_axes_are_resized_without_their_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, inputs, run, _ = values_of(CASES[name])
    values = {**inputs, **run(inputs)}
    nodes = [n for n in facts.nodes if n.op != "Constant"]
    seed = np.random.default_rng(1).standard_normal(values["y"].shape)
    expected = backward(nodes, values, {"y": seed}, ["c"])["c"]
    monkeypatch.setattr(along, "_LARGEST", 0)
    monkeypatch.setattr(along, "_ROWS", 3)
    monkeypatch.setattr(along, "_resizing", None)
    found = backward(nodes, values, {"y": seed}, ["c"])["c"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "q = Mul(x, x) y = Sqrt(q)",
        "q = Mul(x, x) h = Constant<value_floats=[0.5]>() y = Pow(q, h)",
        "b = Cast<to=9>(x) l = Log(x) y = Where(b, l, x)",
        "b = Cast<to=9>(x) r = Reciprocal(x) y = Where(b, r, x)",
        "b = Cast<to=9>(x) r = Div(x, x) y = Where(b, r, x)",
    ],
)
def test_at_the_edge_of_an_operator_gradients_are_numbers(text: str) -> None:
    facts, inputs, run, _ = values_of(text)
    x = np.abs(inputs["x"])
    x[0] = 0
    with np.errstate(all="ignore"):
        values = {**inputs, "x": x, **run({**inputs, "x": x})}
    nodes = [n for n in facts.nodes if n.op != "Constant"]
    found = backward(nodes, values, {"y": np.ones_like(x)}, ["x"])["x"]
    assert np.isfinite(found).all()
    assert np.abs(found[1:]).max() > 0 or "Div" in text


def test_negative_padding_crops() -> None:
    """The reference implementation has none, so what it should be is written out."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[2, 5] x) => (float[] y) '
        "{ n = Constant<value_ints=[0, -2, 0, 1]>() y = Pad(x, n) }"
    )
    facts = read_graph(load(model).model)
    x = np.arange(10, dtype=np.float32).reshape(2, 5)
    seed = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
    values = {"x": x, "n": np.array([0, -2, 0, 1]), "y": np.pad(x[:, 2:], ((0, 0), (0, 1)))}
    nodes = [n for n in facts.nodes if n.op == "Pad"]
    found = backward(nodes, values, {"y": seed}, ["x"])["x"]
    np.testing.assert_array_equal(found, np.pad(seed[:, :3], ((0, 0), (2, 0))))
