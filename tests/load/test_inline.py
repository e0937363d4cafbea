"""Large files: weights stay in the file until somebody looks at one."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError
from graphprune.load import load, save


def big_model(path: Path, rows: int = 1500) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """Weights of 6 MB as an initializer and as a Constant node."""
    random = np.random.default_rng(0)
    w, v = random.standard_normal((2, rows, 1000)).astype(np.float32)
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 1500] x) => (float[n, 1500] y) '
        "{ h = MatMul(x, w) c = Constant <value = float {1}> () y = MatMul(h, c) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    model.graph.node[1].attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(v.T), "c"))
    onnx.save(model, path)
    return model, w, v.T


def tensors(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    found = {n: v.const_value for n, v in model.graph.initializers.items() if v.const_value is not None}
    return {
        **found,
        "c": next(n for n in model.graph if n.op_type == "Constant").attributes["value"].as_tensor(),
    }


def test_weights_are_read_when_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    _, w, c = big_model(path)
    source = load(path)
    found = tensors(source.model)
    assert all(isinstance(t, ir.LazyTensor) for t in found.values())
    assert np.array_equal(found["w"].numpy(), w)
    assert np.array_equal(found["c"].numpy(), c)
    assert not source.external
    assert source.size_bytes == path.stat().st_size


def test_written_again_it_is_the_same_model(tmp_path: Path) -> None:
    path, copy = tmp_path / "big.onnx", tmp_path / "copy.onnx"
    model, _, _ = big_model(path)
    save(load(path).model, copy)
    again = onnx.load(copy)
    assert again.graph.initializer[0].raw_data == model.graph.initializer[0].raw_data
    assert [n.op_type for n in again.graph.node] == [n.op_type for n in model.graph.node]
    assert not again.graph.initializer[0].external_data


def test_a_tensor_may_say_that_its_data_is_inside(tmp_path: Path) -> None:
    """As in every file that `onnx.load` read with external data and `onnx.save` wrote as one."""
    path = tmp_path / "big.onnx"
    model, w, _ = big_model(path)
    model.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    onnx.save(model, path)
    assert np.array_equal(tensors(load(path).model)["w"].numpy(), w)


def test_the_file_may_be_replaced_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    _, w, _ = big_model(path)
    source = load(path)
    (tmp_path / "other").write_bytes(b"something else")
    (tmp_path / "other").replace(path)
    assert np.array_equal(tensors(source.model)["w"].numpy(), w)


def test_a_file_that_is_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    big_model(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cut short"):
        load(path)


def test_a_tensor_with_too_few_bytes_says_so(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    model, _, _ = big_model(path)
    model.graph.initializer[0].dims[0] = 1501
    onnx.save(model, path)
    with pytest.raises(ModelError, match="needs 6004000 bytes of data but has 6000000"):
        load(path)
