"""Moments in as many passes as memory asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

import graphprune
from graphprune.statistics import Linear, Statistics
from graphprune.testing import analysed
from tests.rules.building import build

WIDTH, COUNT = 8, 6
NAMES = [f"W{k}" for k in range(COUNT)]
WEIGHTS = ", ".join(f"float[{WIDTH}, {WIDTH}] {n}" for n in NAMES)
STEPS = "\n".join(f"h{k + 1} = MatMul(h{k}, W{k})" for k in range(COUNT - 1))
NET = f"""n (float[n, {WIDTH}] x) => (float[n, {WIDTH}] y) <{WEIGHTS}> {{
  h0 = Relu(x)
  {STEPS}
  y = MatMul(h{COUNT - 1}, W{COUNT - 1}) }}"""
ROOM_FOR_ONE = 16 * WIDTH**2


@pytest.mark.parametrize(("room", "passes"), [(COUNT, 1), (3, 2), (2, 3), (1, COUNT)])
def test_asked_for_in_order_operators_come_together(
    room: int, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, analysis = analysed(build(NET))
    batches = [{"x": np.random.default_rng(k).normal(size=(16, WIDTH)).astype(np.float32)} for k in range(3)]
    made: list[int] = []
    run = Statistics._pass

    def counted(self: Statistics, items: Sequence[Linear], *given: Any) -> None:
        made.append(len(items))
        run(self, items, *given)

    monkeypatch.setattr(Statistics, "_pass", counted)
    small = Statistics(model, analysis, batches, budget=room * ROOM_FOR_ONE)
    large = Statistics(model, analysis, batches)
    found = [small.moments(item)[0].covariance for item in small.linear]
    assert len(made) == passes
    for item, covariance in zip(large.linear, found, strict=True):
        np.testing.assert_array_equal(large.moments(item)[0].covariance, covariance)


@pytest.mark.parametrize("memory", [80 << 20, 200 << 20])
def test_what_memory_cannot_hold_is_scored_by_its_weights_and_not_refitted(memory: int) -> None:
    """Matrices over 1,500 columns take 108 MB; an operator that is narrow is refitted all the same."""
    model = build(
        "n (float[n, 4] x) => (float[n, 4] y) <float[4, 1500] v, float[1500, 8] w, float[8, 4] u> "
        "{ a = MatMul(x, v) b = Relu(a) c = MatMul(b, w) d = Relu(c) y = MatMul(d, u) }"
    )
    before = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    calib = {"x": np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)}
    found = graphprune.prune(model, 0.5, criterion="obs", compensation="refit", calib=calib, memory=memory)
    after = {t.name: onnx.numpy_helper.to_array(t) for t in found.model.graph.initializer}
    kept = {k: list(g.kept) for k, g in found.plan.groups.items()}
    (wide,) = (k for k in kept if len(kept[k]) == 750)
    (narrow,) = (k for k in kept if len(kept[k]) == 4)
    told = [w for w in found.report["warnings"] if "too wide" in w]
    assert bool(told) == (memory < 108 << 20)
    assert np.array_equal(after["w"], before["w"][kept[wide]][:, kept[narrow]]) == bool(told)
    assert not np.array_equal(after["u"], before["u"][kept[narrow]])


@pytest.mark.parametrize(("room", "passes"), [(COUNT, 1), (3, 2), (1, COUNT)])
def test_batches_are_counted_over_all_passes(room: int, passes: int) -> None:
    model, analysis = analysed(build(NET))
    batches = [{"x": np.random.default_rng(k).normal(size=(16, WIDTH)).astype(np.float32)} for k in range(3)]
    told: list[tuple[int, int]] = []
    statistics = Statistics(
        model, analysis, batches, budget=room * ROOM_FOR_ONE, say=lambda *given: told.append(given)
    )
    statistics.collect(statistics.linear)
    assert told == [(k, 3 * passes) for k in range(3 * passes + 1)]
    statistics.collect(statistics.linear[-1:])
    assert len(told) == 3 * passes + 1  # what is known takes no time
