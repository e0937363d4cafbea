"""Initializers that are only equal get apart, weights that are tied stay together, and both can be undone."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from graphprune.load import copy_model, load, save
from graphprune.normalise import normalise, reshare
from graphprune.normalise.sharing import SHARED_FROM
from graphprune.normalise.weights import is_tied

Build = Callable[..., onnx.ModelProto]
Agree = Callable[..., ir.Model]
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'

TWO_LAYERS = (
    HEAD
    + """g (float[N, 4] x) => (float[N, 4] y)
    { a = MatMul (x, w) b = Add (a, zero) c = Relu (b) d = MatMul (c, v) y = Add (d, zero) }"""
)


def data(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def inputs(model: ir.Model, op: str) -> list[list[str | None]]:
    return [[v.name if v else None for v in node.inputs] for node in model.graph if node.op_type == op]


def put(model: ir.Model, name: str, array: np.ndarray) -> None:
    """Replaces the data of an initializer, as a rewrite does."""
    model.graph.initializers[name].const_value = ir.Tensor(array, name=name)
    model.graph.initializers[name].shape = ir.Shape(array.shape)


def test_shared_bias_gets_a_clone_per_use(build: Build, agree: Agree) -> None:
    result = agree(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=np.zeros(4, np.float32)))
    assert list(result.graph.initializers) == ["w", "v", "zero", "zero__use1"]
    assert inputs(result, "Add") == [["a", "zero"], ["d", "zero__use1"]]
    assert result.graph.initializers["zero__use1"].meta[SHARED_FROM] == "zero"
    assert all(len(value.uses()) == 1 for value in result.graph.initializers.values())


def test_clones_share_memory(build: Build) -> None:
    given = ir.from_proto(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=(4,)))
    array = np.zeros(4, np.float32)
    given.graph.initializers["zero"].const_value = ir.Tensor(array, name="zero")
    result = normalise(load(given).model)
    assert np.shares_memory(data(result, "zero__use1"), array)
    assert np.shares_memory(data(result, "zero"), array)


def test_names_are_unique(build: Build, agree: Agree) -> None:
    text = TWO_LAYERS.replace("d = ", "zero__use1 = ").replace("Add (d,", "Add (zero__use1,")
    result = agree(build(text, w=(4, 4), v=(4, 4), zero=(4,)))
    assert "zero__use2" in result.graph.initializers


def test_one_node_that_uses_an_initializer_twice(build: Build, agree: Agree) -> None:
    result = agree(build(HEAD + "g (float[4] x) => (float[4] y) { y = Sum (b, x, b, b) }", b=(4,)))
    assert inputs(result, "Sum") == [["b", "x", "b__use1", "b__use2"]]


def test_shape_constants_are_separated(build: Build, agree: Agree) -> None:
    result = agree(
        build(
            HEAD
            + "g (float[N, 4] x) => (float[M, 8] y) { a = Reshape (x, s) b = Relu (a) y = Reshape (b, s) }",
            s=np.array([-1, 8], np.int64),
        ),
        x=np.ones((2, 4), np.float32),
    )
    assert inputs(result, "Reshape") == [["x", "s"], ["b", "s__use1"]]


@pytest.mark.parametrize(
    ("lines", "outputs"),
    [
        ("a = MatMul (x, w) y = MatMul (a, w)", "float[N, 4] y"),
        ("a = MatMul (x, w) t = Transpose <perm = [1, 0]> (w) y = MatMul (a, t)", "float[N, 4] y"),
        ("a = MatMul (x, w) t = Identity (w) y = Gemm (a, t)", "float[N, 4] y"),
        ("e = Gather (w, ids) s = Add (e, x) y = Gemm <transB = 1> (s, w)", "float[N, 4] y"),
        ("h = Cast <to = 1> (w) a = MatMul (x, h) i = Cast <to = 1> (w) y = MatMul (a, i)", "float[N, 4] y"),
        ("a = Einsum <equation = \"ni,ij->nj\"> (x, w) y = MatMul (a, w)", "float[N, 4] y"),
    ],
)  # fmt: skip
def test_tied_matrices_stay_tied(build: Build, agree: Agree, lines: str, outputs: str) -> None:
    model = build(
        HEAD + f"g (float[N, 4] x) => ({outputs}) {{ {lines} }}", w=(4, 4), ids=np.array([0, 3, 1], np.int64)
    )
    result = agree(model)
    assert [name for name in result.graph.initializers if "__use" in name] == []
    assert len(result.graph.initializers["w"].uses()) == 2


def test_tied_convolutions_stay_tied(build: Build, agree: Agree) -> None:
    result = agree(
        build(
            HEAD
            + """g (float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y)
            { a = Conv <pads = [1, 1, 1, 1]> (x, w, b) y = Conv <pads = [1, 1, 1, 1]> (a, w, b) }""",
            w=(4, 4, 3, 3),
            b=(4,),
        )
    )
    assert inputs(result, "Conv") == [["x", "w", "b"], ["a", "w", "b__use1"]]


def test_quantized_tie(build: Build, agree: Agree) -> None:
    result = agree(
        build(
            HEAD
            + """g (float[N, 4] x) => (float[N, 4] y)
            {
              f = DequantizeLinear (w, s) a = MatMul (x, f)
              h = DequantizeLinear (w, s) y = MatMul (a, h)
            }""",
            w=np.arange(16, dtype=np.int8).reshape(4, 4),
            s=np.array(0.5, np.float32),
        )
    )
    assert list(result.graph.initializers) == ["w", "s", "s__use1"]


@pytest.mark.parametrize(
    ("lines", "weights"),
    [
        ("a = Mul (x, w) y = Add (a, w)", {"w": (4, 4)}),  # a table: cosines, a mask, positions
        ("a = MatMul (x, w) y = Add (a, w)", {"w": (4, 4)}),  # a weight once, and something else once
        ("a = Mul (x, w) y = Add (a, w)", {"w": (1, 4)}),
        ("a = MatMul (x, v) b = Mul (a, w) y = MatMul (b, v)", {"v": (4, 4), "w": (4,)}),
    ],
)
def test_tables_and_vectors_are_separated(
    build: Build, agree: Agree, lines: str, weights: dict[str, tuple[int, ...]]
) -> None:
    model = build(HEAD + f"g (float[4, 4] x) => (float[4, 4] y) {{ {lines} }}", **weights)
    result = agree(model)
    for value in result.graph.initializers.values():
        assert len(value.uses()) == 1 or is_tied(value)
    assert len(result.graph.initializers) == 2


def test_column_used_as_a_weight_twice_is_not_a_tie(build: Build, agree: Agree) -> None:
    model = build(
        HEAD + "g (float[N, 1] x) => (float[N, 4] y) { a = MatMul (x, w) b = MatMul (x, w) y = Add (a, b) }",
        w=(1, 4),
    )
    assert sorted(agree(model).graph.initializers) == ["w", "w__use1"]


def test_integer_table_is_separated(build: Build, agree: Agree) -> None:
    model = build(
        HEAD
        + """g (int64[N] i) => (int64[N, 4] y)
        { a = Gather (table, i) b = Gather (table, i) y = Add (a, b) }""",
        table=np.arange(16, dtype=np.int64).reshape(4, 4),
    )
    assert len(agree(model).graph.initializers) == 2


def test_body_keeps_the_original(agree: Agree) -> None:
    kind = [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    bodies = {
        name: helper.make_graph([helper.make_node(op, ["x", "b"], ["r"])], name, [], kind)
        for name, op in (("then_branch", "Add"), ("else_branch", "Mul"))
    }
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Add", ["x", "b"], ["a"]),
                helper.make_node("If", ["c"], ["i"], **bodies),
                helper.make_node("Sum", ["a", "i", "b"], ["y"]),
            ],
            "g",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, (4,)),
                helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (4,))],
            [onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "b")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for choice in (True, False):
        result = agree(model, c=np.array(choice))
    assert list(result.graph.initializers) == ["b", "b__use1", "b__use2"]
    users = {node.op_type for node, _ in result.graph.initializers["b"].uses()}
    assert users == {"Add", "Mul"}
    assert inputs(result, "Sum") == [["a", "i", "b__use2"]]


def test_output_keeps_the_original(build: Build, agree: Agree) -> None:
    model = build(HEAD + "g (float[4] x) => (float[4] y, float[4] b) { y = Add (x, b) }", b=(4,))
    result = agree(model)
    assert inputs(result, "Add") == [["x", "b__use1"]]


def test_overridable_initializer_stays_one(build: Build, agree: Agree) -> None:
    text = "g (float[4] x, float[4] b) => (float[4] y) { a = Add (x, b) y = Mul (a, b) }"
    result = agree(build(HEAD + text, b=(4,)))
    assert list(result.graph.initializers) == ["b"]
    agree(build(HEAD + text, b=(4,)), b=np.full(4, 7, np.float32))


def test_inputs_of_ir_version_3_stay_inputs(build: Build, agree: Agree) -> None:
    model = build(
        '<ir_version: 3, opset_import: ["" : 9]>'
        "g (float[N, 4] x, float[4, 4] w, float[4] b) => (float[N, 4] y)"
        "{ a = MatMul (x, w) c = Add (a, b) d = Relu (c) y = Add (d, b) }",
        w=(4, 4),
        b=(4,),
    )
    result = agree(model)
    assert [value.name for value in result.graph.inputs] == ["x", "w", "b"]
    assert list(result.graph.initializers) == ["w", "b", "b__use1"]


def test_reshare_undoes_unshare(build: Build, tmp_path: object) -> None:
    source = load(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=(4,)))
    result = normalise(source.model)
    reshare(result)
    assert list(result.graph.initializers) == ["w", "v", "zero"]
    assert len(result.graph.initializers["zero"].uses()) == 2


def test_reshare_compares_contents(build: Build) -> None:
    result = normalise(load(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=np.zeros(4, np.float32))).model)
    put(result, "zero__use1", np.zeros(3, np.float32))
    reshare(result)
    assert data(result, "zero").shape == (4,)
    assert data(result, "zero__use1").shape == (3,)


@pytest.mark.parametrize("changed", ["first", "clone", "both"])
def test_reshare_merges_what_is_still_equal(build: Build, changed: str) -> None:
    model = build(
        HEAD + "g (float[4] x) => (float[4] y) { y = Sum (b, x, b, b, b) }", b=np.zeros(4, np.float32)
    )
    result = normalise(load(model).model)
    if changed in ("first", "both"):
        put(result, "b", np.ones(4, np.float32))
    if changed in ("clone", "both"):
        put(result, "b__use2", np.ones(4, np.float32))
    reshare(result)
    names = inputs(result, "Sum")[0]
    expected = {
        "first": ["b", "x", "b__use1", "b__use1", "b__use1"],
        "clone": ["b", "x", "b", "b__use2", "b"],
        "both": ["b", "x", "b__use1", "b", "b__use1"],
    }
    assert names == expected[changed]
    assert set(result.graph.initializers) == set(names) - {"x"}


def test_reshare_when_the_original_is_gone(build: Build) -> None:
    model = build(HEAD + "g (float[4] x) => (float[4] y) { y = Sum (b, x, b, b) }", b=(4,))
    result = normalise(load(model).model)
    result.graph.node(0).replace_input_with(0, None)
    del result.graph.initializers["b"]
    reshare(result)
    assert list(result.graph.initializers) == ["b"]
    tensor = result.graph.initializers["b"].const_value
    assert tensor is not None
    assert tensor.name == "b"


def test_reshare_tells_types_and_shapes_apart(build: Build) -> None:
    model = build(
        HEAD + "g (float[4] x) => (float[4] y) { y = Sum (b, x, b, b, b) }", b=np.zeros(4, np.float32)
    )
    result = normalise(load(model).model)
    put(result, "b__use1", np.zeros(4, np.int32))
    put(result, "b__use2", np.zeros((2, 2), np.float32))
    put(result, "b__use3", np.array([0, 0, 0, -0.0], np.float32))
    reshare(result)
    assert len(result.graph.initializers) == 4


def test_reshare_after_copying(build: Build) -> None:
    copied = copy_model(normalise(load(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=(4,))).model))
    reshare(copied)
    assert list(copied.graph.initializers) == ["w", "v", "zero"]


def test_reshare_of_other_models_does_nothing(build: Build) -> None:
    model = load(build(TWO_LAYERS, w=(4, 4), v=(4, 4), zero=(4,))).model
    reshare(model)
    assert list(model.graph.initializers) == ["w", "v", "zero"]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, ml_dtypes.int4, np.bool_])
def test_unusual_types(build: Build, dtype: type) -> None:
    model = build(
        '<ir_version: 10, opset_import: ["" : 21]>'
        "g (float[4] x) => (float[4] y) { a = Cast <to = 1> (b) c = Cast <to = 1> (b) y = Sum (x, a, c) }",
        b=np.arange(4).astype(dtype),
    )
    result = normalise(load(model).model)
    assert len(result.graph.initializers) == 2
    np.testing.assert_array_equal(data(result, "b__use1"), data(result, "b"))
    reshare(result)
    assert len(result.graph.initializers) == 1


def test_external_tensors_stay_mapped(build: Build, tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    model = build(HEAD + "g (float[512] x) => (float[512] y) { a = Add (x, b) y = Mul (a, b) }", b=(512,))
    onnx.save(model, folder / "a.onnx", save_as_external_data=True, location="a.data", size_threshold=0)
    source = load(folder / "a.onnx")
    result = normalise(source.model)
    for value in result.graph.initializers.values():
        assert isinstance(value.const_value, ir.ExternalTensor)
        assert value.const_value.raw is None
    save(result, folder / "b.onnx", source=source)
    assert (folder / "b.onnx.data").stat().st_size == 2048  # both clones point to the same bytes
