"""Small models for the front door's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

MLP = """
<ir_version: 8, opset_import: ["" : 17], producer_name: "maker", producer_version: "3",
 domain: "org.example", model_version: 7, doc_string: "a small net",
 metadata_props: ["author": "somebody", "stage": "final"]>
net (float[N, 8] x) => (float[N, 4] y)
{
  h = MatMul (x, w1)
  a = Relu (h)
  y = Gemm (a, w2, b2)
}
"""


def mlp_proto(hidden: int = 64) -> onnx.ModelProto:
    """Returns a net of two layers, 8 -> hidden -> 4, with weights that count up."""
    model = onnx.parser.parse_model(MLP)
    shapes = {"w1": (8, hidden), "w2": (hidden, 4), "b2": (4,)}
    for name, shape in shapes.items():
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 100
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    model.graph.node[0].doc_string = "first layer"
    model.graph.node[0].metadata_props.append(onnx.StringStringEntryProto(key="origin", value="line 12"))
    return model


@pytest.fixture
def mlp() -> onnx.ModelProto:
    return mlp_proto()


@pytest.fixture
def mlp_path(tmp_path: Path, mlp: onnx.ModelProto) -> Path:
    path = tmp_path / "in" / "net.onnx"
    path.parent.mkdir()
    onnx.save(mlp, path)
    return path


@pytest.fixture
def external_path(tmp_path: Path) -> Path:
    """A model whose two matrices lie in `weights.bin` beside it."""
    path = tmp_path / "in" / "net.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(mlp_proto(), path, save_as_external_data=True, location="weights.bin", size_threshold=512)
    return path


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Returns a function that gives the content of every file below the temporary folder."""
    return lambda: {
        str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    }
