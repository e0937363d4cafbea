"""What all tests may use: the bundled models, a small net, and the command line in this process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from graphprune.cli import main
from graphprune.compensate import impressions, whole

ROOT = Path(__file__).resolve().parent.parent
SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[batch, 8] x) => (float[batch, 4] y)
{
  h = Gemm (x, first_weight, first_bias)
  a = Relu (h)
  k = MatMul (a, second_weight)
  b = Relu (k)
  y = MatMul (b, last_weight)
}
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run of the command line."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line on standard error."""
        return self.err.rstrip("\n").rpartition("\n")[2]


Cli = Callable[..., Finished]


@pytest.fixture(autouse=True)
def short_fit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of what takes most, except where slow tests ask how good it is."""
    if not request.node.get_closest_marker("slow") and not request.node.get_closest_marker("zoo"):
        for name in ("STEPS", "LONG", "MADE_UP", "SPOKEN"):
            monkeypatch.setattr(whole, name, whole.FEWEST_STEPS)
        for name in ("STEPS", "FEWEST_STEPS"):
            monkeypatch.setattr(impressions, name, 4)


def small_net(hidden: int = 12) -> onnx.ModelProto:
    """A net of three layers, 8 -> hidden -> 10 -> 4, with seeded random weights."""
    model = onnx.parser.parse_model(SMALL)
    draw = np.random.default_rng(5)
    shapes = {
        "first_weight": (8, hidden),
        "first_bias": (hidden,),
        "second_weight": (hidden, 10),
        "last_weight": (10, 4),
    }
    for name, shape in shapes.items():
        values = draw.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured once for a machine goes to a folder of this test run, not to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def small() -> onnx.ModelProto:
    """A net of three layers; it can be cut at `first_weight[1]` (12 slots) and `second_weight[1]` (10)."""
    return small_net()


@pytest.fixture
def small_path(tmp_path: Path, small: onnx.ModelProto) -> Path:
    """The small net as a file."""
    path = tmp_path / "small.onnx"
    onnx.save(small, path)
    return path


@pytest.fixture
def bundled() -> Callable[[str], Path]:
    """`bundled(name)`: the file of a model in models/."""
    return lambda name: ROOT / "models" / f"{name}.onnx"


@pytest.fixture
def private_temp(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; empty when the test starts."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("model.onnx", "--ratio", 0.5)`: run the command line in this process."""

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["graphprune", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Finished(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Returns a function that gives the content of every file below the temporary folder."""
    return lambda: {
        str(file.relative_to(tmp_path)): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()
    }


@pytest.fixture(scope="session")
def perceptron() -> onnx.ModelProto:
    """Six numbers in, eight hidden units, three scores out; weights are drawn."""
    made = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 6] x) => (float[n, 3] y)'
        " { a = MatMul(x, w) b = Relu(a) y = MatMul(b, v) }"
    )
    draw = np.random.default_rng(1)
    for name, shape in (("w", (6, 8)), ("v", (8, 3))):
        values = draw.normal(size=shape).astype(np.float32)
        made.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return made
