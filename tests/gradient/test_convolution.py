"""Gradients of convolutions of every geometry: both operators are linear in their input and in their weight."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphprune.analysis.facts import read_graph
from graphprune.gradient import backward
from graphprune.load import load
from graphprune.runtime import open_session

GEOMETRIES = {
    "plain": ((2, 6, 7, 8), 4, (3, 3), "pads=[0,0,0,0]"),
    "uneven padding, and a rest that no window reaches": (
        (2, 6, 8, 9),
        4,
        (3, 2),
        "pads=[1,0,2,1], strides=[3,2]",
    ),
    "depthwise": ((2, 6, 7, 7), 6, (5, 5), "group=6, pads=[2,2,2,2]"),
    "depthwise, twice as wide": ((1, 6, 7, 7), 12, (3, 3), "group=6, pads=[1,1,1,1], strides=[2,2]"),
    "groups": ((3, 6, 6, 5), 9, (3, 3), "group=3, pads=[1,1,1,1]"),
    "dilated": ((2, 6, 11, 12), 4, (3, 2), "dilations=[2,3], pads=[2,1,0,1]"),
    "as large as the input": ((2, 6, 5, 5), 4, (5, 5), "pads=[0,0,0,0]"),
    "patches": ((2, 3, 9, 11), 4, (4, 4), "strides=[4,4]"),
    "one axis": ((2, 6, 11), 4, (3,), "strides=[2], pads=[1,1]"),
    "three axes": ((1, 2, 4, 5, 6), 4, (3, 3, 3), "pads=[1,1,1,1,1,1], strides=[1,2,1]"),
    "as much padding as it takes": ((2, 6, 7, 8), 4, (3, 4), 'auto_pad="SAME_UPPER", strides=[2,2]'),
    "the same, more of it before": ((2, 6, 7, 8), 4, (3, 4), 'auto_pad="SAME_LOWER"'),
    "said to be without padding": ((2, 6, 7, 8), 4, (3, 3), 'auto_pad="VALID", strides=[2,1]'),
    "a kernel of one": ((2, 6, 4, 4), 4, (1, 1), "strides=[2,2]"),
}


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_products(op: str, name: str) -> None:
    shape, channels, kernel, attributes = GEOMETRIES[name]
    groups = int(attributes.split("group=")[1].split(",")[0]) if "group=" in attributes else 1
    inner = shape[1] // groups
    weight = (channels, inner, *kernel) if op == "Conv" else (shape[1], channels // groups, *kernel)
    draw = np.random.default_rng(0)
    given = {
        n: draw.standard_normal(s).astype(np.float32)
        for n, s in {"x": shape, "w": weight, "b": channels}.items()
    }
    inputs = ", ".join(f"float{list(a.shape)} {n}" for n, a in given.items())
    model = load(
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => (float[] y) {{ y = {op}<{attributes}>(x, w, b) }}'
        )
    ).model
    with open_session(model) as session:
        y = session.run(given)["y"]
        seed = draw.standard_normal(y.shape).astype(np.float32)
        found = backward(read_graph(model).nodes, {**given, "y": y}, {"y": seed}, list(given))
        nothing = {n: np.zeros_like(a) for n, a in given.items()}
        for wanted, fixed in (("x", "w"), ("w", "x"), ("b", "")):
            way = draw.standard_normal(given[wanted].shape).astype(np.float32)
            moved = session.run({**nothing, **({fixed: given[fixed]} if fixed else {}), wanted: way})["y"]
            expected = float((moved.astype(np.float64) * seed).sum())
            product = float((found[wanted].astype(np.float64) * way).sum())
            size = float(np.linalg.norm(moved) * np.linalg.norm(seed))
            np.testing.assert_allclose(product, expected, rtol=0, atol=1e-6 * size)


def test_what_the_runtime_computes_in_single_precision_keeps_its_type() -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (double[1,2,5] x, double[3,2,2] w) => (double[] y) '
    facts = read_graph(load(onnx.parser.parse_model(f"{text} {{ y = Conv(x, w) }}")).model)
    draw = np.random.default_rng(0)
    values = {"x": draw.standard_normal((1, 2, 5)), "w": draw.standard_normal((3, 2, 2))}
    found = backward(facts.nodes, values, {"y": np.ones((1, 3, 4))}, ["x", "w"])
    assert {n: a.dtype for n, a in found.items()} == {"x": np.float64, "w": np.float64}
    np.testing.assert_allclose(found["x"][0, :, 0], values["w"][:, :, 0].sum(axis=0), rtol=1e-5)
