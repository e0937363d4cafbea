"""Large models: weights are read one at a time and only when somebody looks at one."""

from __future__ import annotations

import importlib.util
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import onnx_ir as ir
import pytest

import graphprune
from graphprune.decide import Options, decide
from graphprune.load.inline import ModelFile
from graphprune.runtime import standins
from graphprune.testing import analysed

TOOL = Path(__file__).resolve().parents[2] / "tools" / "decoder.py"
LARGE = 1 << 16


@pytest.fixture(scope="module")
def decoder() -> Iterator[ModuleType]:
    """The module tools/decoder.py."""
    spec = importlib.util.spec_from_file_location("big_decoder", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["big_decoder"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["big_decoder"]


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for large models is done for those of these tests."""
    monkeypatch.setattr(standins, "_MODEL_BYTES", 0)
    monkeypatch.setattr(standins, "_WEIGHT_BYTES", LARGE)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the large weights whose data anybody asks for, in order; stand-ins do not count."""
    seen: list[str] = []

    def watched(name: str) -> None:
        original = getattr(ir.ExternalTensor, name)

        def read(self: ir.ExternalTensor, *arguments: Any, **named: Any) -> Any:
            if self.nbytes >= LARGE and "stand-in" not in str(self.location):
                seen.append(str(self.name))
            return original(self, *arguments, **named)

        monkeypatch.setattr(ir.ExternalTensor, name, read)

    for name in ("numpy", "tobytes", "tofile", "__array__"):
        watched(name)
    whole = ModelFile.read

    def read(self: ModelFile, offset: int, length: int) -> bytes:
        seen.append(f"{length} bytes of the model file")
        return whole(self, offset, length)

    monkeypatch.setattr(ModelFile, "read", read)
    return seen


def test_three_gigabytes_are_analysed_without_reading_a_weight(
    decoder: ModuleType, tmp_path: Path, looked_at: list[str]
) -> None:
    """The file of the weights is a hole of 3 GB: it takes no room, and reading it would take memory."""
    path = tmp_path / "big.onnx"
    decoder.write_decoder(path, decoder.Size(), hollow=True)
    assert (tmp_path / "big.onnx.data").stat().st_size > 3e9
    analysis = graphprune.analyse(path)
    assert not looked_at
    assert analysis.recording.method == "run"
    kinds = Counter(g.kind for g in analysis.groups if not g.frozen and not g.approximate)
    # The widths of values, and one of all that the table rotates.
    repeated = {kind: n for kind, n in kinds.items() if n > 1}
    assert repeated == {"kv-groups": 28, "heads": 28, "head-dim": 28 + 1, "neurons": 28}


@pytest.mark.usefixtures("small_is_large")
def test_deciding_looks_at_one_weight_at_a_time(
    decoder: ModuleType, tmp_path: Path, looked_at: list[str]
) -> None:
    size = decoder.Size(layers=6, width=1024, hidden=2048, heads=8, key_heads=4, vocabulary=1000)
    path = tmp_path / "model.onnx"
    decoder.write_decoder(path, size, hollow=True)
    largest = 4 * size.width * size.hidden
    tracemalloc.start()
    try:
        decide(analysed(str(path))[1], Options(ratio=0.5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert looked_at
    assert len(set(looked_at)) == 7 * size.layers, "every matrix but the embedding is scored"
    assert peak < 5 * largest < 0.25 * size.weight_bytes


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("inline", [False, True], ids=["external data", "one file"])
def test_the_result_has_the_form_of_the_input(
    decoder: ModuleType, tmp_path: Path, looked_at: list[str], inline: bool
) -> None:
    size = decoder.Size(layers=2, width=256, hidden=512, heads=8, key_heads=4, vocabulary=600)
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    decoder.write_decoder(path, size)
    if inline:
        onnx.save(onnx.load(path), path)
    graphprune.analyse(path)
    assert not looked_at
    report = graphprune.prune(path, 0.5, recipe="plain", output=out).report
    assert report["equivalence"]["status"] == "equal"
    assert report["equivalence"]["change"] > 1e-2
    assert (tmp_path / "out.onnx.data").exists() is not inline
    assert report["after"]["size_bytes"] < 0.6 * report["before"]["size_bytes"]
