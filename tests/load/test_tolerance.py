"""What real exporters ship and the standard does not quite allow: it loads, and goes out as it came in."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graphprune.load import load, save
from graphprune.load.versions import newest_opsets


def through(model: onnx.ModelProto, tmp_path: Path) -> onnx.ModelProto:
    """Returns the model after it was loaded and saved; also loads it from memory."""
    load(model)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    source = load(tmp_path / "a.onnx")
    size = save(source.model, tmp_path / "b.onnx", source=source)
    assert size == sum(file.stat().st_size for file in tmp_path.glob("b.onnx*"))
    return onnx.load(tmp_path / "b.onnx")


def test_duplicate_opset_entries_last_one_counts(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.opset_import.insert(0, helper.make_opsetid("", 1))
    result = through(mlp, tmp_path)
    assert [(entry.domain, entry.version) for entry in result.opset_import] == [("", 17)]


def test_alias_of_the_default_domain(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.opset_import[0].domain = "ai.onnx"
    mlp.graph.node[1].domain = "ai.onnx"
    result = through(mlp, tmp_path)
    assert [(entry.domain, entry.version) for entry in result.opset_import] == [("", 17)]
    onnx.checker.check_model(result, full_check=True)


def test_old_import_that_no_node_uses() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 1, "ai.onnx.ml" : 3]>
        g (float[N, 3] x) => (float[N, 3] y) { y = ai.onnx.ml.Normalizer (x) }"""
    )
    assert len(load(model).model.graph) == 1


def test_unknown_domain_is_no_error() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "my.ops" : 300]>
        g (float[N] x) => (float[N] y) { y = my.ops.Swish <beta = 2.0> (x) }"""
    )
    assert load(model).model.graph.node(0).domain == "my.ops"


def test_unknown_operator_is_no_error() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) { y = NoSuchOp (x) }"""
    )
    assert load(model).model.graph.node(0).op_type == "NoSuchOp"


def test_empty_node_names(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.graph.node[0].name = ""
    mlp.graph.node[1].ClearField("name")
    onnx.checker.check_model(through(mlp, tmp_path))


def test_nodes_out_of_order(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    nodes = list(mlp.graph.node)
    del mlp.graph.node[:]
    mlp.graph.node.extend(reversed(nodes))
    result = through(mlp, tmp_path)
    assert [node.op_type for node in result.graph.node] == ["MatMul", "Relu", "Gemm"]


def test_initializers_as_inputs_of_ir_version_3(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.ir_version = 3
    del mlp.graph.node[0].metadata_props[:]
    for tensor in mlp.graph.initializer:
        mlp.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    result = through(mlp, tmp_path)
    onnx.checker.check_model(result, full_check=True)
    assert result.ir_version == 3
    assert [value.name for value in result.graph.input] == ["x", "w1", "w2", "b2"]
    assert [tensor.name for tensor in result.graph.initializer] == ["w1", "w2", "b2"]


def test_new_initializer_in_ir_version_3_becomes_a_constant(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.ir_version = 3
    del mlp.graph.node[0].metadata_props[:]
    for tensor in mlp.graph.initializer[:2]:
        mlp.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    result = through(mlp, tmp_path)
    onnx.checker.check_model(result, full_check=True)
    assert [value.name for value in result.graph.input] == ["x", "w1", "w2"]
    assert result.graph.node[0].op_type == "Constant"
    assert list(result.graph.node[0].output) == ["b2"]


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { y = my.Op (x) }"""
    )
    raw = [b"plain", b"\xff\xfe\x00", "ö".encode(), b""]
    model.graph.node[0].attribute.extend(
        [helper.make_attribute("one", b"\xff\x80"), helper.make_attribute("many", raw)]
    )
    result = through(model, tmp_path)
    attributes = {attribute.name: attribute for attribute in result.graph.node[0].attribute}
    assert attributes["one"].s == b"\xff\x80"
    assert list(attributes["many"].strings) == raw
    assert list(model.graph.node[0].attribute[1].strings) == raw


def test_empty_list_attribute(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { y = my.Op (x) }"""
    )
    model.graph.node[0].attribute.append(onnx.AttributeProto(name="none", type=onnx.AttributeProto.INTS))
    (attribute,) = through(model, tmp_path).graph.node[0].attribute
    assert (attribute.type, list(attribute.ints)) == (onnx.AttributeProto.INTS, [])


def test_wrong_value_info(mlp: onnx.ModelProto) -> None:
    mlp.graph.value_info.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, (3, 99, 5)))
    assert load(mlp).model.graph.num_nodes() == 3


def test_sparse_initializer_and_constant(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[3, 4] x) => (float[3, 4] y)
        { c = Constant () a = Add (x, s) y = Add (a, c) }"""
    )

    def sparse(name: str, indices: list[int] | list[list[int]]) -> onnx.SparseTensorProto:
        return helper.make_sparse_tensor(
            helper.make_tensor(name, TensorProto.FLOAT, (2,), [5.0, 7.0]),
            onnx.numpy_helper.from_array(np.array(indices, np.int64), f"{name}_indices"),
            (3, 4),
        )

    model.graph.sparse_initializer.append(sparse("s", [1, 11]))
    model.graph.node[0].attribute.append(helper.make_attribute("sparse_value", sparse("", [[0, 1], [2, 3]])))
    before = model.SerializeToString()
    result = through(model, tmp_path)
    expected = np.zeros((3, 4), np.float32)
    expected[0, 1], expected[2, 3] = 5, 7
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(result.graph.initializer[0]), expected)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(result.graph.node[0].attribute[0].t), expected)
    assert not result.graph.sparse_initializer
    assert model.SerializeToString() == before


def test_functions_with_overloads(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "f" : 1]>
        g (float[N] x) => (float[N] y) { a = f.act:one (x) y = f.act:two (a) }
        <domain: "f", overload: "one", opset_import: ["" : 21]> act (a) => (b) { b = Relu (a) }
        <domain: "f", overload: "two", opset_import: ["" : 21]> act (a) => (b) { b = Neg (a) }"""
    )
    result = through(model, tmp_path)
    assert sorted(function.overload for function in result.functions) == ["one", "two"]
    assert [node.overload for node in result.graph.node] == ["one", "two"]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.int4, ml_dtypes.float8_e4m3fn, np.float16])
def test_unusual_weight_types(dtype: type, tmp_path: Path) -> None:
    values = np.arange(-4, 5).astype(dtype).reshape(3, 3)
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[3, 3] x) => (float[3, 3] y)
        { c = Cast <to = 1> (w) y = Add (x, c) }"""
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "w"))
    (tensor,) = through(model, tmp_path).graph.initializer
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(tensor).astype(np.float32), values.astype(np.float32)
    )
    assert tensor.data_type == model.graph.initializer[0].data_type


def test_newest_opset_and_ir_version(tmp_path: Path) -> None:
    opset = newest_opsets()[""]
    assert opset == onnx.defs.onnx_opset_version()
    model = onnx.parser.parse_model(
        f"""<ir_version: {int(onnx.IR_VERSION)}, opset_import: ["" : {opset}]>
        g (float[N] x) => (float[N] y) {{ y = Relu (x) }}"""
    )
    result = through(model, tmp_path)
    assert (result.ir_version, result.opset_import[0].version) == (onnx.IR_VERSION, opset)


def test_optional_and_sequence_types(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (seq(float[N, 3]) s, optional(float[N]) o) => (float[M, 3] y)
        { y = ConcatFromSequence <axis = 0> (s) }"""
    )
    result = through(model, tmp_path)
    assert result.graph.input[0].type.HasField("sequence_type")
    assert result.graph.input[1].type.HasField("optional_type")


def test_initializer_and_input_as_outputs(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y, float[2] x, float[2] w)
        <float[2] w = {1.0, 2.0}> { y = Add (x, w) }"""
    )
    result = through(model, tmp_path)
    assert [value.name for value in result.graph.output] == ["y", "x", "w"]
    onnx.checker.check_model(result)


def test_training_info_is_noted(mlp: onnx.ModelProto) -> None:
    mlp.training_info.add()
    assert [note for note in load(mlp).notes if "training_info" in note]


def test_everything_else_survives(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    mlp.ir_version = 10
    result = through(mlp, tmp_path)
    for field in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(result, field) == getattr(mlp, field)
    assert list(result.metadata_props) == list(mlp.metadata_props)
    assert result.graph.name == "net"
    assert list(result.graph.input) == list(mlp.graph.input)
    assert list(result.graph.output) == list(mlp.graph.output)
    assert list(result.graph.initializer) == list(mlp.graph.initializer)
    assert result.graph.node[0].doc_string == "first layer"
    assert result.graph.node[0].metadata_props[0].value == "line 12"


def test_quantization_annotation_survives(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    annotation = mlp.graph.quantization_annotation.add(tensor_name="w1")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b2")
    result = through(mlp, tmp_path)
    assert list(result.graph.quantization_annotation) == list(mlp.graph.quantization_annotation)
