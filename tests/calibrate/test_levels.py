"""Noise at the levels that the first normalisation of a network keeps from training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from graphprune.calibrate import Calibration, load_calibration
from graphprune.errors import CalibrationError
from graphprune.normalise import normalise
from graphprune.runtime import record

MEAN, SPREAD = np.array([4.0, -1.0, 30.0]), np.array([2.0, 0.7, 3.0])
HEAD = '<ir_version: 8, opset_import: ["" : 17]>\ng '
PICTURE = HEAD + "(float[n, 3, 12, 12] x) => (float[n, 5, 10, 10] y) "
CONV = "c = Conv(x, w, b)"
NORM = "y = BatchNormalization(c, one, zero, mean, var)"
DRAW = np.random.default_rng(5)
WEIGHT = DRAW.normal(size=(5, 3, 3, 3)).astype(np.float32)
BIAS = DRAW.normal(size=5).astype(np.float32)


def of_convolution() -> dict[str, np.ndarray]:
    """The statistics behind the convolution where its inputs have the levels above."""
    mean = BIAS + WEIGHT.sum(axis=(2, 3)) @ MEAN
    return {"mean": mean, "var": (WEIGHT**2).sum(axis=(2, 3)) @ SPREAD**2}


def noise(text: str, weights: Mapping[str, np.ndarray]) -> Calibration:
    model = onnx.parser.parse_model(text)
    width = len(weights["mean"])
    given = {"one": np.ones(width), "zero": np.zeros(width), **weights}
    for name, values in given.items():
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    normal = normalise(ir.from_proto(model))
    return load_calibration("noise:first-norm", normal, record(normal), samples=1024)


@pytest.mark.parametrize("kind", ["behind a convolution", "at the input"])
def test_levels_are_those_of_training(kind: str) -> None:
    if kind == "at the input":
        text = HEAD + f"(float[n, 3] c) => (float[n, 3] y) {{ {NORM} }}"
        found = noise(text, {"mean": MEAN, "var": SPREAD**2})
    else:
        found = noise(f"{PICTURE} {{ {CONV} {NORM} }}", {"w": WEIGHT, "b": BIAS, **of_convolution()})
    values = np.concatenate([next(iter(b.values())) for b in found.batches])
    assert found.synthetic
    assert 'as the normalisation "' in found.source
    axes = tuple(k for k in range(values.ndim) if k != 1)
    np.testing.assert_allclose(values.mean(axis=axes), MEAN, rtol=0.1, atol=0.3)
    np.testing.assert_allclose(values.std(axis=axes), SPREAD, rtol=0.1)


def test_statistics_that_no_inputs_give_have_one_spread() -> None:
    """Variances that would ask for a negative one somewhere are met on average."""
    given = of_convolution()
    given["var"] = given["var"][::-1] * np.array([9, 0.1, 9, 0.1, 9])
    found = noise(f"{PICTURE} {{ {CONV} {NORM} }}", {"w": WEIGHT, "b": BIAS, **given})
    spread = np.concatenate([b["x"] for b in found.batches]).std(axis=(0, 2, 3))
    assert np.isfinite(spread).all()
    assert spread.min() > 0.05 * spread.max()


@pytest.mark.parametrize(
    "body",
    [f"r = Relu(x) {CONV.replace('x', 'r')} {NORM}", "c = Conv(x, w, b) z = Add(mean, var) y = Sub(c, one)"],
    ids=["behind a Relu", "folded"],
)
def test_without_such_a_normalisation_it_is_said(body: str) -> None:
    weights = {"w": WEIGHT, "b": BIAS, **of_convolution()}
    if "Batch" not in body:
        weights = {n: a.reshape(-1, 1, 1) if n in ("mean", "var") else a for n, a in weights.items()}
        body = body.replace("Sub(c, one)", "Relu(c)")
    with pytest.raises(CalibrationError, match="noise:first-norm: no BatchNormalization"):
        noise(f"{PICTURE} {{ {body} }}", weights)
