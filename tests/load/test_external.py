"""External data: mapped, not read; checked before anything is done; never followed out of the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError
from graphprune.load import load, save
from graphprune.load.tensors import external_tensors


def entries(model: onnx.ModelProto, name: str) -> dict[str, onnx.StringStringEntryProto]:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return {entry.key: entry for entry in tensor.external_data}


def edited(path: Path, **changes: str) -> Path:
    """Changes the external data entries of w1 in the model file."""
    model = onnx.load(path, load_external_data=False)
    for key, value in changes.items():
        entries(model, "w1")[key].value = value
    path.write_bytes(model.SerializeToString())
    return path


def mapped(tensor: ir.ExternalTensor) -> bool:
    return tensor.raw is not None


def test_is_mapped_lazily(external_path: Path, mlp: onnx.ModelProto) -> None:
    source = load(external_path)
    assert source.external
    tensors = external_tensors(source.model)
    assert [tensor.name for tensor in tensors] == ["w1", "w2"]
    assert not any(map(mapped, tensors))
    array = tensors[0].numpy()
    assert not array.flags.writeable
    assert not array.flags.owndata
    np.testing.assert_array_equal(array, onnx.numpy_helper.to_array(mlp.graph.initializer[0]))


def test_size_counts_data(external_path: Path) -> None:
    size = load(external_path).size_bytes
    assert size == external_path.stat().st_size + 8 * 64 * 4 + 64 * 4 * 4


def test_data_in_a_folder_below(external_path: Path) -> None:
    below = external_path.parent / "data"
    below.mkdir()
    (external_path.parent / "weights.bin").rename(below / "weights.bin")
    model = onnx.load(external_path, load_external_data=False)
    for name in ("w1", "w2"):
        entries(model, name)["location"].value = "data/weights.bin"
    external_path.write_bytes(model.SerializeToString())
    source = load(external_path)
    assert external_tensors(source.model)[0].numpy().shape == (8, 64)


def test_independent_of_the_current_folder(external_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(external_path.parent)
    source = load("net.onnx")
    monkeypatch.chdir("/")
    assert external_tensors(source.model)[0].numpy().shape == (8, 64)


def test_missing_file(external_path: Path) -> None:
    (external_path.parent / "weights.bin").unlink()
    with pytest.raises(
        ModelError, match=r"initializer 'w1' has its data in 'weights\.bin', but there is no such"
    ):
        load(external_path)


def test_file_too_short(external_path: Path) -> None:
    data = external_path.parent / "weights.bin"
    data.write_bytes(data.read_bytes()[:3000])
    with pytest.raises(
        ModelError, match=r"'w2' needs bytes \d+ to \d+ of 'weights\.bin', but the file has only 3000"
    ):
        load(external_path)


def test_declared_length_too_short(external_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"needs 2048 bytes, but the model declares 2000 bytes of 'weights\.bin'"
    ):
        load(edited(external_path, length="2000"))


def test_longer_declared_length_is_cut(external_path: Path) -> None:
    source = load(edited(external_path, length="2060"))
    assert external_tensors(source.model)[0].length == 2048


@pytest.mark.parametrize("location", ["../weights.bin", "data/../../weights.bin", "..", "{absolute}"])
def test_leaves_the_folder(external_path: Path, location: str) -> None:
    data = external_path.parent / "weights.bin"
    (external_path.parent.parent / "weights.bin").write_bytes(data.read_bytes())
    place = location.format(absolute=external_path.parent.parent / "weights.bin")
    with pytest.raises(ModelError, match="outside the model's folder, which is not safe to follow; move"):
        load(edited(external_path, location=place))


def test_symbolic_link_out_of_the_folder(external_path: Path) -> None:
    data = external_path.parent / "weights.bin"
    data.rename(external_path.parent.parent / "elsewhere.bin")
    data.symlink_to(external_path.parent.parent / "elsewhere.bin")
    with pytest.raises(ModelError, match=r"a symbolic link out of the model's folder.*put a copy"):
        load(external_path)


def test_symbolic_link_inside_the_folder(external_path: Path) -> None:
    data = external_path.parent / "weights.bin"
    data.rename(external_path.parent / "real.bin")
    data.symlink_to("real.bin")
    assert external_tensors(load(external_path).model)[0].numpy().shape == (8, 64)


def test_symbolic_links_to_where_the_model_really_is(external_path: Path, tmp_path: Path) -> None:
    """Caches of downloads keep files under other names in one folder, and links to them where they belong."""
    blobs, shown = tmp_path / "blobs", tmp_path / "shown" / "onnx"
    blobs.mkdir()
    shown.mkdir(parents=True)
    for number, path in enumerate((external_path, external_path.parent / "weights.bin")):
        path.rename(blobs / str(number))
        (shown / path.name).symlink_to(Path("../../blobs") / str(number))
    source = load(shown / external_path.name)
    tensor = external_tensors(source.model)[0]
    assert tensor.numpy().shape == (8, 64)
    assert Path(tensor.path) == blobs / "1"
    save(source.model, tmp_path / "out.onnx", source=source)
    assert external_tensors(load(tmp_path / "out.onnx").model)
    (shown / "weights.bin").unlink()
    (blobs / "1").rename(tmp_path / "elsewhere")
    (shown / "weights.bin").symlink_to("../../elsewhere")
    with pytest.raises(ModelError, match="a symbolic link out of the model's folder"):
        load(shown / external_path.name)


def test_hard_link(external_path: Path) -> None:
    os.link(external_path.parent / "weights.bin", external_path.parent.parent / "other.bin")
    with pytest.raises(ModelError, match="a file with more than one hard link"):
        load(external_path)


def test_folder_as_data(external_path: Path) -> None:
    (external_path.parent / "sub").mkdir()
    with pytest.raises(ModelError, match="'sub', which is a folder"):
        load(edited(external_path, location="sub"))


def test_no_location(external_path: Path) -> None:
    with pytest.raises(ModelError, match="but the model does not say in which"):
        load(edited(external_path, location=""))


@pytest.mark.parametrize("offset", ["many", "-3"])
def test_bad_offset(external_path: Path, offset: str) -> None:
    with pytest.raises(ModelError, match=r"the model cannot be read \(.*\); check it with onnx\.checker"):
        load(edited(external_path, offset=offset))


def test_proto_without_its_data(external_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'w1' has its data in file 'weights\.bin', .*give the path"):
        load(onnx.load(external_path, load_external_data=False))


def test_ir_model_with_external_data(external_path: Path) -> None:
    given = ir.load(external_path)
    source = load(given)
    assert source.external
    assert not any(map(mapped, external_tensors(source.model)))
    assert external_tensors(source.model)[0].numpy().shape == (8, 64)
    (external_path.parent / "weights.bin").unlink()
    with pytest.raises(ModelError, match="there is no such file"):
        load(given)


def test_constant_with_external_data(external_path: Path, tmp_path: Path) -> None:
    model = onnx.load(external_path, load_external_data=False)
    tensor = model.graph.initializer[0]
    node = onnx.helper.make_node("Constant", [], ["w1"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    del model.graph.initializer[0]
    model.graph.node.insert(0, node)
    external_path.write_bytes(model.SerializeToString())
    source = load(external_path)
    assert len(external_tensors(source.model)) == 2
    save(source.model, tmp_path / "out.onnx", source=source)
    result = onnx.load(tmp_path / "out.onnx")
    assert onnx.numpy_helper.to_array(result.graph.node[0].attribute[0].t).shape == (8, 64)
    node.attribute[0].t.external_data[0].value = "gone.bin"
    model.graph.node[0].CopyFrom(node)
    external_path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="attribute 'value' of the unnamed Constant that makes 'w1'"):
        load(external_path)


def test_empty_external_tensor(external_path: Path) -> None:
    model = onnx.load(external_path, load_external_data=False)
    tensor = model.graph.initializer[2]
    tensor.CopyFrom(onnx.TensorProto(name="b2", data_type=1, dims=[0], data_location=1))
    tensor.external_data.add(key="location", value="weights.bin")
    external_path.write_bytes(model.SerializeToString())
    source = load(external_path)
    value = source.model.graph.initializers["b2"].const_value
    assert value is not None
    assert value.tobytes() == b""


def test_unknown_keys_of_other_tools(external_path: Path) -> None:
    model = onnx.load(external_path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="prepacked_0", value="1")
    external_path.write_bytes(model.SerializeToString())
    assert load(external_path).external


def test_round_trip(external_path: Path, tmp_path: Path, mlp: onnx.ModelProto) -> None:
    source = load(external_path)
    out = tmp_path / "out"
    out.mkdir()
    size = save(source.model, out / "net.onnx", source=source)
    assert sorted(file.name for file in out.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert size == sum(file.stat().st_size for file in out.iterdir())
    assert not any(map(mapped, external_tensors(source.model)))
    result = onnx.load(out / "net.onnx")
    for tensor, expected in zip(result.graph.initializer, mlp.graph.initializer, strict=True):
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(tensor), onnx.numpy_helper.to_array(expected)
        )
    pointers = onnx.load(out / "net.onnx", load_external_data=False).graph.initializer
    assert [tensor.data_location for tensor in pointers] == [1, 1, 0]


def test_data_that_was_shared_is_written_once(external_path: Path, tmp_path: Path) -> None:
    model = onnx.load(external_path, load_external_data=False)
    for index in range(3):
        twin = onnx.TensorProto()
        twin.CopyFrom(model.graph.initializer[0])
        twin.name = f"twin{index}"
        model.graph.initializer.append(twin)
        model.graph.node.append(onnx.helper.make_node("Neg", [twin.name], [f"unused{index}"]))
    external_path.write_bytes(model.SerializeToString())
    source = load(external_path)
    save(source.model, tmp_path / "out.onnx", source=source)
    assert (tmp_path / "out.onnx.data").stat().st_size < 2 * 2048


def test_lazy_tensors_are_computed_one_at_a_time(external_path: Path, tmp_path: Path) -> None:
    source = load(external_path)
    events: list[str] = []
    for name in ("w1", "w2"):
        value = source.model.graph.initializers[name]
        assert value.const_value is not None
        value.const_value = ir.LazyTensor(
            recording(value.const_value.numpy(), name, events),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape(value.const_value.shape.numpy()),
            name=name,
        )
    save(source.model, tmp_path / "out.onnx", source=source)
    assert events == ["w1", "w2"]


def recording(array: np.ndarray, name: str, events: list[str]) -> Callable[[], ir.Tensor]:
    def compute() -> ir.Tensor:
        events.append(name)
        return ir.Tensor(array, name=name)

    return compute
