"""Saving: whole or not at all, and never over the input by accident."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.errors import OutputError
from graphprune.load import check_output, load, save, write
from graphprune.load.tensors import external_tensors

Listing = Callable[[], dict[str, bytes]]


def test_one_file(mlp_path: Path, tmp_path: Path, mlp: onnx.ModelProto) -> None:
    source = load(mlp_path)
    size = save(source.model, str(tmp_path / "out.onnx"), source=source)
    assert size == (tmp_path / "out.onnx").stat().st_size
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in", "out.onnx"]
    result = onnx.load(tmp_path / "out.onnx")
    assert list(result.graph.initializer) == list(mlp.graph.initializer)


def test_without_source(external_path: Path, tmp_path: Path) -> None:
    save(load(external_path).model, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").exists()


def test_in_the_current_folder(mlp: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(load(mlp).model, "out.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["out.onnx"]


def test_large_models_get_external_data(
    mlp: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "INLINE_LIMIT_BYTES", 3000)
    save(load(mlp).model, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").stat().st_size == 3072
    assert onnx.load(tmp_path / "out.onnx").graph.initializer[1].raw_data == mlp.graph.initializer[1].raw_data


def test_model_is_unchanged(external_path: Path, tmp_path: Path) -> None:
    source = load(external_path)
    before = ir.to_proto(source.model).SerializeToString()
    save(source.model, tmp_path / "out.onnx", source=source)
    assert ir.to_proto(source.model).SerializeToString() == before


def test_replaces_an_older_result(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(b"old")
    target.chmod(0o640)
    save(load(mlp).model, target)
    assert onnx.load(target).graph.name == "net"
    assert target.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["out.onnx"]


def test_new_file_has_ordinary_permissions(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save(load(mlp).model, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_link_as_output_is_replaced_not_followed(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"keep me")
    (tmp_path / "out.onnx").symlink_to(tmp_path / "precious")
    save(load(mlp).model, tmp_path / "out.onnx")
    assert (tmp_path / "precious").read_bytes() == b"keep me"
    assert not (tmp_path / "out.onnx").is_symlink()


class Interrupted(BaseException):
    """Like Ctrl-C."""


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("old", [b"the old result", None])
def test_failure_while_data_is_written(
    external_path: Path, tmp_path: Path, listing: Listing, error: type[BaseException], old: bytes | None
) -> None:
    source = load(external_path)
    if old is not None:
        (tmp_path / "out.onnx").write_bytes(old)
        (tmp_path / "out.onnx.data").write_bytes(old)

    def fail() -> ir.Tensor:
        assert any(file.name.endswith(".tmp") for file in tmp_path.iterdir())  # w1 is written by now
        raise error

    source.model.graph.initializers["w2"].const_value = ir.LazyTensor(
        fail, dtype=ir.DataType.FLOAT, shape=ir.Shape((64, 4)), name="w2"
    )
    before = listing()
    with pytest.raises(error):
        save(source.model, tmp_path / "out.onnx", source=source)
    assert listing() == before


def test_failure_between_the_two_moves(
    external_path: Path, tmp_path: Path, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load(external_path)
    (tmp_path / "out.onnx").write_bytes(b"old model")
    (tmp_path / "out.onnx.data").write_bytes(b"old data")
    before = listing()
    replace = os.replace

    def fail_on_the_model(source: Path, target: Path) -> None:
        if target.name == "out.onnx":
            monkeypatch.setattr(os, "replace", replace)
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_on_the_model)
    with pytest.raises(KeyboardInterrupt):
        save(source.model, tmp_path / "out.onnx", source=source)
    assert listing() == before


def test_failure_between_the_two_moves_of_new_files(
    external_path: Path, tmp_path: Path, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load(external_path)
    before = listing()
    replace = os.replace

    def fail_on_the_model(source: Path, target: Path) -> None:
        if target.name == "out.onnx":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_on_the_model)
    with pytest.raises(OutputError, match=r"writing failed \(No space left on device\); nothing was written"):
        save(source.model, tmp_path / "out.onnx", source=source)
    assert listing() == before


def test_tensor_that_lies_about_its_size(external_path: Path, tmp_path: Path, listing: Listing) -> None:
    source = load(external_path)
    source.model.graph.initializers["w2"].const_value = ir.LazyTensor(
        lambda: ir.Tensor(np.zeros((3, 3), np.float32)), ir.DataType.FLOAT, ir.Shape((64, 4)), name="w2"
    )
    before = listing()
    with pytest.raises(OutputError, match="tensor 'w2' needs 1024 bytes but gave 36"):
        save(source.model, tmp_path / "out.onnx", source=source)
    assert listing() == before


@pytest.mark.parametrize("link", ["same", "other spelling", "symbolic", "hard"])
def test_refuses_to_replace_its_input(mlp_path: Path, listing: Listing, link: str) -> None:
    source = load(mlp_path)
    target = mlp_path
    if link == "other spelling":
        target = mlp_path.parent / ".." / "in" / "net.onnx"
    elif link == "symbolic":
        target = mlp_path.with_name("link.onnx")
        target.symlink_to(mlp_path)
    elif link == "hard":
        target = mlp_path.with_name("link.onnx")
        os.link(mlp_path, target)
    before = listing()
    with pytest.raises(
        OutputError, match=r"this would replace .*, which the model was read from; choose another"
    ):
        save(source.model, target, source=source)
    assert listing() == before


def test_refuses_to_replace_its_data(external_path: Path, listing: Listing) -> None:
    source = load(external_path)
    before = listing()
    with pytest.raises(OutputError, match=r"this would replace '.*weights\.bin'"):
        check_output(external_path.with_name("weights.bin"), source)
    assert listing() == before


def test_refuses_when_its_own_data_file_is_the_source_data(external_path: Path, tmp_path: Path) -> None:
    first = load(external_path)
    save(first.model, tmp_path / "b.onnx", source=first)
    (tmp_path / "b.onnx").rename(tmp_path / "a.onnx")  # a.onnx now reads b.onnx.data
    source = load(tmp_path / "a.onnx")
    with pytest.raises(OutputError, match=r"b\.onnx\.data: this would replace"):
        check_output(tmp_path / "b.onnx", source)


def test_force_replaces_the_input(external_path: Path, mlp: onnx.ModelProto) -> None:
    for _ in range(2):  # the second time the data file is its own
        source = load(external_path)
        save(source.model, external_path, source=source, force=True)
    for tensor, expected in zip(
        onnx.load(external_path).graph.initializer, mlp.graph.initializer, strict=True
    ):
        assert tensor.raw_data == expected.raw_data
    with pytest.raises(ValueError, match="invalidated"):
        external_tensors(source.model)[0].numpy()  # rather than the bytes of another file


def test_missing_folder(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere: there is no such folder; create it"):
        save(load(mlp).model, tmp_path / "nowhere" / "out.onnx")


def test_file_as_folder(mlp: onnx.ModelProto, mlp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"net\.onnx: this is a file, so nothing can be written inside it"):
        save(load(mlp).model, mlp_path / "out.onnx")


def test_folder_as_output(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="this is a folder; give the name of a file in it"):
        save(load(mlp).model, tmp_path)


def test_folder_where_the_data_goes(mlp: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "out.onnx.data").mkdir()
    with pytest.raises(OutputError, match=r"out\.onnx\.data: this is a folder"):
        save(load(mlp).model, tmp_path / "out.onnx")


def test_device_as_output(mlp: onnx.ModelProto) -> None:
    with pytest.raises(OutputError, match="a device or a pipe, not a regular file"):
        save(load(mlp).model, os.devnull)


def test_folder_without_permission(
    mlp: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="this folder cannot be written to; change its permissions"):
        save(load(mlp).model, tmp_path / "out.onnx")


def test_unwritable_after_the_check(
    mlp: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OutputError, match=r"writing failed \(Permission denied\); nothing was written"):
        save(load(mlp).model, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []
