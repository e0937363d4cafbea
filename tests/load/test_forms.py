"""The four things that load() takes, and giving them back."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.load import Source, load, to_form


def weights(model: ir.Model) -> dict[str, np.ndarray]:
    return {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }


def check(source: Source, mlp: onnx.ModelProto) -> None:
    assert [node.op_type for node in source.model.graph] == ["MatMul", "Relu", "Gemm"]
    assert [value.name for value in source.model.graph.inputs] == ["x"]
    found = weights(source.model)
    for tensor in mlp.graph.initializer:
        np.testing.assert_array_equal(found[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize("kind", [str, Path])
def test_path(mlp_path: Path, mlp: onnx.ModelProto, kind: type) -> None:
    source = load(kind(mlp_path))
    check(source, mlp)
    assert (source.form, source.path, source.external) == ("path", mlp_path, False)
    assert source.size_bytes == mlp_path.stat().st_size
    assert source.notes == ()


def test_relative_path(mlp_path: Path, mlp: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mlp_path.parent)
    source = load("net.onnx")
    check(source, mlp)
    assert source.path == Path("net.onnx")


def test_proto(mlp: onnx.ModelProto) -> None:
    before = mlp.SerializeToString()
    source = load(mlp)
    check(source, mlp)
    assert (source.form, source.path, source.size_bytes) == ("proto", None, len(before))
    change_everything(source.model)
    assert mlp.SerializeToString() == before


def test_ir_model(mlp: onnx.ModelProto) -> None:
    given = ir.from_proto(mlp)
    before = ir.to_proto(given).SerializeToString()
    source = load(given)
    check(source, mlp)
    assert (source.form, source.path) == ("ir", None)
    assert abs(source.size_bytes - len(before)) < 10
    change_everything(source.model)
    assert ir.to_proto(given).SerializeToString() == before


def test_ir_model_keeps_the_names_of_its_tensors(mlp: onnx.ModelProto) -> None:
    given = ir.from_proto(mlp)
    tensor = ir.Tensor(np.zeros((8, 64), np.float32), name="its own name")
    given.graph.initializers["w1"].const_value = tensor
    to_form(load(given).model, "proto")
    assert tensor.name == "its own name"


def test_graphsurgeon(mlp: onnx.ModelProto) -> None:
    gs = pytest.importorskip("onnx_graphsurgeon")
    graph = gs.import_onnx(mlp)
    source = load(graph)
    check(source, mlp)
    assert source.form == "graphsurgeon"
    change_everything(source.model)
    assert [node.op for node in graph.nodes] == ["MatMul", "Relu", "Gemm"]
    assert sorted(graph.tensors()) == ["a", "b2", "h", "w1", "w2", "x", "y"]


def test_subclass_of_graphsurgeon_graph(mlp: onnx.ModelProto) -> None:
    gs = pytest.importorskip("onnx_graphsurgeon")

    class MyGraph(gs.Graph):  # type: ignore[misc]
        pass

    graph = gs.import_onnx(mlp)
    graph.__class__ = MyGraph
    assert load(graph).form == "graphsurgeon"


def test_weights_are_not_copied(mlp: onnx.ModelProto) -> None:
    given = ir.from_proto(mlp)
    array = np.ones((8, 64), np.float32)
    given.graph.initializers["w1"].const_value = ir.Tensor(array, name="w1")
    assert np.shares_memory(weights(load(given).model)["w1"], array)


def test_graphsurgeon_and_networkx_are_not_imported_for_a_path(mlp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from graphprune.load import load; load(sys.argv[1]); "
        "print([m for m in ('onnx_graphsurgeon', 'networkx', 'onnxruntime', 'torch') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(mlp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("form", ["path", "proto"])
def test_to_proto(mlp: onnx.ModelProto, form: str) -> None:
    proto = to_form(load(mlp).model, form)  # type: ignore[arg-type]
    assert isinstance(proto, onnx.ModelProto)
    onnx.checker.check_model(proto, full_check=True)
    assert list(proto.graph.initializer) == list(mlp.graph.initializer)
    assert list(proto.metadata_props) == list(mlp.metadata_props)


def test_to_ir_is_a_copy(mlp: onnx.ModelProto) -> None:
    source = load(mlp)
    given = to_form(source.model, "ir")
    assert isinstance(given, ir.Model)
    assert given is not source.model
    change_everything(given)
    check(source, mlp)


def test_to_graphsurgeon(mlp: onnx.ModelProto) -> None:
    gs = pytest.importorskip("onnx_graphsurgeon")
    graph = to_form(load(mlp).model, "graphsurgeon")
    assert isinstance(graph, gs.Graph)
    tensors = graph.tensors()
    np.testing.assert_array_equal(tensors["b2"].values, np.arange(4, dtype=np.float32) / 100)
    onnx.checker.check_model(gs.export_onnx(graph))


def test_to_proto_holds_external_data(external_path: Path, mlp: onnx.ModelProto) -> None:
    proto = to_form(load(external_path).model, "proto")
    assert isinstance(proto, onnx.ModelProto)
    for tensor, expected in zip(proto.graph.initializer, mlp.graph.initializer, strict=True):
        assert tensor.data_location == onnx.TensorProto.DEFAULT
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(tensor), onnx.numpy_helper.to_array(expected)
        )


def test_source_is_frozen(mlp: onnx.ModelProto) -> None:
    source = load(mlp)
    with pytest.raises(AttributeError):
        source.form = "path"  # type: ignore[misc]
    assert copy.copy(source).model is source.model


def change_everything(model: ir.Model) -> None:
    """Renames, retypes and removes whatever a model has."""
    graph = model.graph
    for value in tuple(graph.initializers.values()):
        value.name = f"{value.name}_changed"
        value.dtype = ir.DataType.DOUBLE
        value.const_value = ir.Tensor(np.zeros(3), name=value.name)
        value.metadata_props["changed"] = "yes"
    for value in graph.inputs:
        value.name = f"{value.name}_changed"
        value.shape = ir.Shape((1,))
        value.dtype = ir.DataType.DOUBLE
    for node in graph:
        node.name = "changed"
        node.attributes.clear()
        node.metadata_props["changed"] = "yes"
        node.outputs[0].name = f"{node.outputs[0].name}_changed"
    graph.outputs.clear()
    graph.opset_imports[""] = 1
    model.metadata_props.clear()
