"""Slots in the order of their scores: every prefix is the model pruned to that width, exactly.

Weights and inputs are small whole numbers, so that no order of summation makes a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import graphprune

Weights = dict[str, NDArray[np.float32]]
TEXT = """<ir_version: 8, opset_import: ["" : 17]> n (float[n, 6] x) => (float[n, 4] y) {
  a = Gemm(x, w, b) c = Relu(a) d = MatMul(c, v) e = Relu(d) y = MatMul(e, u) }"""
AXES = {"w[1]": (("w", 1), ("b", 0), ("v", 0)), "v[1]": (("v", 1), ("u", 0))}
"""By group, the axes that its slots lie along."""
WIDTHS = {"w[1]": 11, "v[1]": 8}
X = np.random.default_rng(1).integers(-4, 5, (32, 6)).astype(np.float32)


def weights() -> Weights:
    draw = np.random.default_rng(7)
    shapes = {"w": (6, 11), "b": (11,), "v": (11, 8), "u": (8, 4)}
    return {n: draw.integers(-3, 4, shape).astype(np.float32) for n, shape in shapes.items()}


def model(of: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    made = onnx.parser.parse_model(TEXT)
    made.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in of.items())
    return made


def outputs(of: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(of.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": X})[0])


def plan_of(of: onnx.ModelProto) -> Any:
    return graphprune.prune(of, 0.5, recipe="plain", verify=False).plan


def order_of(plan: Any, key: str) -> list[int]:
    """The slots of a group, the best first."""
    return np.argsort(-np.asarray(plan.groups[key].scores), kind="stable").tolist()


def cut(of: onnx.ModelProto, kept: Mapping[str, Sequence[int]]) -> Any:
    plan = plan_of(of)
    groups = {k: replace(g, kept=list(kept[k])) for k, g in plan.groups.items() if k in kept}
    return graphprune.apply(replace(plan, groups=groups), of)


def in_order(of: Weights, orders: Mapping[str, Sequence[int]]) -> Weights:
    found = dict(of)
    for key, order in orders.items():
        for name, axis in AXES[key]:
            found[name] = np.take(found[name], order, axis)
    return found


@pytest.fixture(scope="module")
def orders() -> dict[str, list[int]]:
    plan = plan_of(model(weights()))
    found = {key: order_of(plan, key) for key in AXES}
    assert all(order != sorted(order) for order in found.values())
    return found


@pytest.fixture(scope="module")
def ordered(orders: dict[str, list[int]]) -> onnx.ModelProto:
    """The model with its slots in order; it computes the same."""
    made = model(in_order(weights(), orders))
    np.testing.assert_array_equal(outputs(made), outputs(model(weights())))
    return made


@pytest.mark.parametrize(("key", "width"), [(k, n) for k, size in WIDTHS.items() for n in range(1, size + 1)])
def test_a_prefix_is_the_model_pruned_to_its_width(
    key: str, width: int, orders: dict[str, list[int]], ordered: onnx.ModelProto
) -> None:
    prefix = cut(ordered, {key: range(width)})
    chosen = sorted(orders[key][:width])
    pruned = cut(model(weights()), {key: chosen})
    np.testing.assert_array_equal(outputs(prefix.model), outputs(pruned.model))
    for found in (prefix, pruned):
        assert found.report["equivalence"]["status"] == "equal"
    masked = weights()
    for name, axis in AXES[key]:
        gone = np.isin(np.arange(masked[name].shape[axis]), chosen, invert=True)
        np.moveaxis(masked[name], axis, 0)[gone] = 0
    np.testing.assert_array_equal(outputs(prefix.model), outputs(model(masked)))


@pytest.mark.parametrize("width", range(1, 8))
def test_pruning_to_a_width_takes_the_prefix_of_it(width: int, orders: dict[str, list[int]]) -> None:
    ratio = 1 - width / WIDTHS["v[1]"]
    plan = graphprune.prune(model(weights()), ratio, recipe="plain", only=["u"], verify=False).plan
    assert plan.groups["v[1]"].kept == sorted(orders["v[1]"][:width])


@pytest.mark.parametrize("key", AXES)
def test_widths_can_be_taken_one_after_the_other(key: str, ordered: onnx.ModelProto) -> None:
    """Down slot by slot, each time from what is left, gives the bytes that one step gives."""
    now = ordered
    for width in range(WIDTHS[key] - 1, 1, -1):
        now = cut(now, {key: range(width)}).model
        at_once = cut(ordered, {key: range(width)}).model
        for one, other in zip(now.graph.initializer, at_once.graph.initializer, strict=True):
            assert numpy_helper.to_array(one).tobytes() == numpy_helper.to_array(other).tobytes()
