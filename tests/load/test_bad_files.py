"""Files that are no model: one sentence each, that says where, what, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from graphprune.errors import ModelError, UsageError
from graphprune.load import load

Listing = Callable[[], dict[str, bytes]]


def sentence(error: pytest.ExceptionInfo[ModelError]) -> str:
    """Returns the message, after making sure that it is one line that ends like a sentence."""
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 400
    return text


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx: there is no such file; check the path\.") as error:
        load(tmp_path / "nothing.onnx")
    sentence(error)


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"this is a folder; give the \.onnx file inside it"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty; export or download"),
        (b"import torch\nmodel = torch.nn.Linear(3, 4)\n" * 100, "this is a text file, not an ONNX model"),
        ("größe = 1\n".encode() * 102 + b"abc\xc3\xb6", "this is a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer.*git lfs pull"),
        (b"PK\x03\x04" + bytes(60), "zip archive .*export the model to ONNX"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5 file .*export"),
        (b"\x80\x02\x8a\x0a" + bytes(60), "Python pickle"),
        (bytes(range(256)) * 4, "its bytes are not a protobuf message"),
        (b"\xff" * 100, "its bytes are not a protobuf message"),
        (bytes(1000), "its bytes are not a protobuf message"),
    ],
)
def test_not_a_model(tmp_path: Path, listing: Listing, content: bytes, text: str) -> None:
    path = tmp_path / "thing.onnx"
    path.write_bytes(content)
    before = listing()
    with pytest.raises(ModelError, match=text) as error:
        load(path)
    assert str(path) in sentence(error)
    assert listing() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, mlp: onnx.ModelProto, share: float) -> None:
    content = mlp.SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"the file is cut short|no opset") as error:
        load(path)
    sentence(error)


def test_truncated_says_how_much_is_missing(tmp_path: Path, mlp: onnx.ModelProto) -> None:
    content = mlp.SerializeToString()
    graph_end = content.index(mlp.graph.SerializeToString()) + mlp.graph.ByteSize()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: graph_end - 100])
    with pytest.raises(ModelError, match=f"at least 100 bytes more than the {graph_end - 100} it has"):
        load(path)


def test_protobuf_without_graph(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8, producer_name="nobody").SerializeToString())
    with pytest.raises(ModelError, match="a protobuf message without a graph, so not a model") as error:
        load(path)
    sentence(error)
    with pytest.raises(ModelError, match="without a graph"):
        load(onnx.ModelProto())


def test_another_kind_of_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "tensor.pb"
    path.write_bytes(onnx.numpy_helper.from_array(np.zeros((2, 3), np.float32), "w").SerializeToString())
    with pytest.raises(ModelError, match=r"tensor\.pb: this is not an ONNX model"):
        load(path)


def test_graph_without_nodes(mlp: onnx.ModelProto) -> None:
    del mlp.graph.node[:]
    with pytest.raises(ModelError, match="the model's graph has no nodes"):
        load(mlp)


def test_not_readable(mlp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\); check its permissions"):
        load(mlp_path)


@pytest.mark.parametrize("thing", [b"bytes", 3, None, ["net.onnx"]])
def test_not_a_kind_of_model(thing: object) -> None:
    with pytest.raises(UsageError, match=f"a model must be a path, .* not {type(thing).__name__}"):
        load(thing)  # type: ignore[arg-type]
