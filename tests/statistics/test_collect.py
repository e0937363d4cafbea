"""Moments in as many passes as memory asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

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
