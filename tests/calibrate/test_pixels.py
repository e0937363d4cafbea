"""Pixels of made-up pictures, told by what a network does to them first."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

import graphprune
from graphprune.calibrate.pixels import find_pixels
from graphprune.calibrate.synthetic import make_up
from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime.record import record

FIRST, LAST = "float[n, 3, 16, 24]", "float[n, 16, 24, 3]"
LATER = "c = Cast <to = 1> (x)"


def network(steps: str, given: str = FIRST) -> onnx.ModelProto:
    """A network of two convolutions behind `steps`, which make t of x."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g ({given} x) => (float[n, 4] y)
        <float[3, 1, 1] mean = {{0.485, 0.456, 0.406}}, float[3, 1, 1] spread = {{0.229, 0.224, 0.225}},
         float[3] means = {{103.9, 116.8, 123.7}}, float byte = {{255}}, float scale = {{0.003921569}},
         float two = {{2}}, float one = {{1}}, float half = {{127.5}}, float[3, 1, 1] odd = {{3, 4, 5}},
         float[3] same = {{1, 1, 1}}, float[3] none = {{0, 0, 0}}, float[3] at = {{100, 110, 120}},
         float[3] wide = {{2500, 3600, 4900}}>
        {{ {steps}
           a = Conv <pads = [1, 1, 1, 1]> (t, w) h = Relu (a) b = Conv (h, v) m = GlobalAveragePool (b)
           y = Flatten (m) }}"""
    )
    draw = np.random.default_rng(0)
    for name, shape in {"w": (8, 3, 3, 3), "v": (4, 8, 3, 3)}.items():
        array = draw.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


@pytest.mark.parametrize(
    ("steps", "given", "limits"),
    [
        ("s = Div (x, byte) d = Sub (s, mean) t = Div (d, spread)", FIRST, (0, 255)),
        ("d = Sub (x, mean) t = Div (d, spread)", FIRST, (0, 1)),
        ("s = Mul (x, scale) t = Identity (s)", FIRST, (0, 255)),
        ("t = Sub (byte, x)", FIRST, (0, 255)),
        ("s = Mul (x, two) t = Sub (s, one)", FIRST, (0, 1)),
        ("s = Div (x, half) d = Sub (s, one) t = Transpose <perm = [0, 3, 1, 2]> (d)", LAST, (0, 255)),
        ("d = Sub (x, means) t = Transpose <perm = [0, 3, 1, 2]> (d)", LAST, (0, 255)),
        ("t = BatchNormalization (x, same, none, at, wide)", FIRST, (0, 255)),
        (f"{LATER} t = Identity (c)", FIRST.replace("float", "uint8"), (0, 255)),
        (f"{LATER} t = Mul (c, scale)", FIRST.replace("float", "uint8"), (0, 255)),
        (f"{LATER} t = Identity (c)", FIRST.replace("float", "int8"), (-128, 127)),
    ],
)
def test_pixels_are_those_that_the_first_steps_are_for(
    steps: str, given: str, limits: tuple[int, int]
) -> None:
    model = normalise(load(network(steps, given)).model)
    feeds = make_up(model, record(model, 0), "auto", 64, 0).feeds
    found = np.concatenate([f["x"] for f in feeds]).astype(np.float64)
    depth = limits[1] - limits[0]
    assert limits[0] <= found.min() < limits[0] + depth / 6
    assert limits[1] - depth / 6 < found.max() <= limits[1]
    assert depth / 8 < found.std() < depth / 3
    smooth = np.diff(found, axis=1 if given.endswith("3]") else 2)
    assert smooth.std() < found.std()  # white noise has more than its own


@pytest.mark.parametrize(("kind", "bytes_at_all"), [("images", True), ("normal", False)])
def test_noise_stays_noise(kind: str, bytes_at_all: bool) -> None:
    model = normalise(load(network("s = Mul (x, scale) t = Identity (s)")).model)
    found = make_up(model, record(model, 0), kind, 32, 0).feeds[0]["x"]
    assert (found.std() > 30) == bytes_at_all
    assert (found.min() < 0) != bytes_at_all


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_masks_are_no_pictures(kind: str) -> None:
    """Masks of four axes are taken from one and made large and negative."""
    model = ir.from_proto(
        onnx.parser.parse_model(
            f"""<ir_version: 8, opset_import: ["" : 17]>
            g (float[n, 4, 8, 8] x, {kind}[n, 1, 8, 8] attention_mask) => (float[n, 4, 8, 8] y)
            <float one = {{1}}, float large = {{-10000}}> {{
              m = Cast <to = 1> (attention_mask) o = Sub (one, m) l = Mul (o, large) s = Add (x, l)
              y = Softmax (s) }}"""
        )
    )
    found = make_up(model, record(model, 0), "auto", 32, 0).feeds[0]["attention_mask"]
    assert set(np.unique(found)) <= set(range(128))  # no pixels
    assert kind == "uint8" or set(np.unique(found)) <= {0, 1}


def test_each_channel_has_its_own_middle() -> None:
    model = ir.from_proto(network("d = Sub (x, means) t = Transpose <perm = [0, 3, 1, 2]> (d)", LAST))
    found = find_pixels(model.graph.inputs[0])
    assert found is not None
    assert np.ravel(found.middle) == pytest.approx([103.9, 116.8, 123.7])
    other = ir.from_proto(network("u = Transpose <perm = [0, 3, 1, 2]> (x) t = Sub (u, odd)", LAST))
    found = find_pixels(other.graph.inputs[0])
    assert found is not None
    assert np.shape(found.middle) == (1, 1, 1, 3)
    assert np.ravel(found.middle) == pytest.approx([3, 4, 5])
    assert (found.spread == 1).all()  # of no depth that is common


@pytest.mark.parametrize("steps", ["t = Identity (x)", "r = Relu (x) t = Mul (r, scale)"])
def test_what_tells_nothing_is_left_as_it_is(steps: str) -> None:
    assert find_pixels(ir.from_proto(network(steps)).graph.inputs[0]) is None


def test_a_network_of_bytes_is_pruned_without_data() -> None:
    model = network(f"{LATER} s = Mul (c, scale) t = Identity (s)", FIRST.replace("float", "uint8"))
    found = graphprune.prune(model, target="macs=0.7", seed=0)
    assert "pictures" in found.report["method"]["calibration"]["source"]
    assert found.report["equivalence"]["status"] == "equal"
