"""Files that ONNX Runtime has optimised or quantised lose as much as their originals."""

from __future__ import annotations

import functools
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.feeds import choose_sizes, random_feeds
from graphprune.runtime.record import record
from graphprune.testing import Outcome, prune_at_random
from graphprune.validate.compare import relative_error
from tests.hard_cases.oracle import assert_exact, run

quantization = pytest.importorskip("onnxruntime.quantization")

MODELS = Path(__file__).resolve().parent.parent.parent / "models"
NAMES = sorted(json.loads((MODELS / "models.json").read_text()))
QUANTISED_STATICALLY = [n for n in NAMES if n != "unet"]  # its input must be a multiple of eight
_SCALES = 0.02  # what scales and zero points of every channel add to the parameters


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The runtime's tools give advice on the root logger."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@functools.cache
def shares(path: Path) -> tuple[float, float]:
    """Shares of parameters and multiply-adds that are left of an original, without rows that nobody reads."""
    return _left(prune_at_random(str(path)))


def _left(outcome: Outcome) -> tuple[float, float]:
    before, after = outcome.decision.before, outcome.decision.after
    return after.params / before.params, after.macs / (before.macs - outcome.analysis.spared)


def operators(path: Path) -> Counter[str]:
    return Counter(f"{n.domain}.{n.op_type}".lstrip(".") for n in onnx.load(path).graph.node)


def optimised(path: Path, out: Path, level: str = "EXTENDED") -> Path:
    """`path` as the runtime runs it; level ALL lays it out for this machine."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(out)
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return out


class _Inputs(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Random inputs for calibration."""

    def __init__(self, path: Path) -> None:
        model = load(str(path)).model
        sizes, _ = next(iter(choose_sizes(model)))
        self._feeds = iter([random_feeds(model, sizes, seed) for seed in range(2)])

    def get_next(self) -> Mapping[str, np.ndarray[Any, Any]] | None:
        return next(self._feeds, None)


def _static(path: Path, out: Path, form: str, **more: Any) -> None:
    kind = quantization.QuantType
    quantization.quantize_static(
        str(path),
        str(out),
        _Inputs(path),
        quant_format=getattr(quantization.QuantFormat, form),
        activation_type=kind.QUInt8,
        **more,
    )


WAYS: Mapping[str, Callable[[Path, Path], object]] = {
    "operators": lambda path, out: _static(
        path, out, "QOperator", weight_type=quantization.QuantType.QUInt8, per_channel=False
    ),
    "pairs": lambda path, out: _static(
        path, out, "QDQ", weight_type=quantization.QuantType.QInt8, per_channel=True
    ),
    "dynamically": lambda path, out: quantization.quantize_dynamic(
        str(path), str(out), weight_type=quantization.QuantType.QInt8
    ),
}


def assert_alike(path: Path, original: Path, tolerance: float = _SCALES) -> None:
    """Pruned exactly, and as far as the original."""
    outcome = prune_at_random(str(path))
    assert_exact(outcome)
    assert not outcome.analysis.barriers
    for found, expected in zip(_left(outcome), shares(original), strict=True):
        assert found == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("name", "fused"),
    [
        ("densenet", "FusedConv"),
        ("resnet_se", "FusedConv"),
        ("unet", "FusedConv"),
        ("vit", "BiasGelu"),
        ("textformer", "QuickGelu"),
        ("bilstm", ""),
    ],
)
def test_optimised_by_the_runtime(name: str, fused: str, folder: Path) -> None:
    original = MODELS / f"{name}.onnx"
    made = optimised(original, folder / f"{name}.optimised.onnx")
    assert not fused or operators(made)[f"com.microsoft.{fused}"] >= 3 or name == "vit"
    assert_alike(made, original)


@pytest.mark.parametrize("name", ["densenet", "resnet_se", "unet", "vit"])
def test_laid_out_for_this_processor(name: str, folder: Path) -> None:
    original = MODELS / f"{name}.onnx"
    made = optimised(original, folder / f"{name}.all.onnx", "ALL")
    if not any(op.startswith("com.microsoft.nchwc") for op in operators(made)):
        pytest.skip("the runtime makes no blocks here")
    model = load(str(made)).model
    plain = normalise(model)
    feeds = random_feeds(model, record(plain).sizes, 3)
    assert not any(n.domain == "com.microsoft.nchwc" for n in plain.graph)
    for expected, found in zip(run(model, feeds), run(plain, feeds), strict=True):
        assert relative_error(expected, found) < 1e-5
    assert_alike(made, original)


def test_blocks_of_an_unknown_size_are_a_barrier(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = optimised(MODELS / "vit.onnx", folder / "vit.unknown.onnx", "ALL")
    monkeypatch.setattr("graphprune.normalise.blocked.block_size", lambda: None)
    outcome = prune_at_random(str(made))
    blocked = [n for n in operators(made) if n.startswith("com.microsoft.nchwc")]
    reasons = " ".join(outcome.analysis.barriers.values())
    assert not blocked or "before it is optimised for a machine" in reasons
    assert_exact(outcome)


@pytest.mark.parametrize(
    ("name", "fused"),
    [("vit", "SkipLayerNormalization"), ("textformer", "SkipSimplifiedLayerNormalization")],
)
def test_optimised_as_a_transformer(name: str, fused: str, folder: Path) -> None:
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    original, made = MODELS / f"{name}.onnx", folder / f"{name}.transformer.onnx"
    optimizer.optimize_model(str(original), model_type="bert", opt_level=0).save_model_to_file(str(made))
    assert operators(made)[f"com.microsoft.{fused}"] >= 3
    assert_alike(made, original)


@pytest.mark.parametrize("then", [False, True], ids=["", "and optimised"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["bilstm", "resnet_se", "vit"])
def test_quantised(name: str, way: str, then: bool, folder: Path) -> None:
    _check_quantised(name, way, then, folder)


@pytest.mark.slow
@pytest.mark.parametrize("then", [False, True], ids=["", "and optimised"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_every_model_quantised(name: str, way: str, then: bool, folder: Path) -> None:
    if way != "dynamically" and name not in QUANTISED_STATICALLY:
        pytest.skip("calibration inputs of its own would be needed")
    _check_quantised(name, way, then, folder)


def _check_quantised(name: str, way: str, then: bool, folder: Path) -> None:
    original, made = MODELS / f"{name}.onnx", folder / f"{name}.{way}.onnx"
    if not made.exists():
        WAYS[way](original, made)
    if then:
        made = optimised(made, folder / f"{name}.{way}.optimised.onnx")
    names = operators(made)
    assert any("Quant" in n or "QLinear" in n or "Integer" in n or "QGemm" in n for n in names)
    assert_alike(made, original)
