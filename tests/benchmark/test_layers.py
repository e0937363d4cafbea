"""Which layers got no faster, and why, from made-up profiles."""

from __future__ import annotations

from typing import Any

import pytest

from graphprune.analysis import Analysis
from graphprune.benchmark.layers import Measured, compare_layers
from graphprune.runtime.profile import Kernel, Profile
from graphprune.testing import analysed
from tests.rules.building import build

STEPS = {"Conv": 16, "MatMul": 1}
NET = """net (float[n, 16, 32, 32] x) => (float[N, V] y)
    <float[{a}, 16, 3, 3] A, float[{c}, {a}, 3, 3] C, float[{c}, 1, 3, 3] W, float[{c}, 10] H>
    {{ a = Conv(x, A)  ar = Relu(a)  c = Conv(ar, C)  w = Conv <group = {c}> (c, W)
       p = GlobalAveragePool(w)  q = Flatten(p)  y = MatMul(q, H) }}"""


def model(a: int, c: int) -> Analysis:
    return analysed(build(NET.format(a=a, c=c)))[1]


def measured(analysis: Analysis, times: dict[str, float]) -> Measured:
    kernels = [
        Kernel(n.outputs[0], n.op, "cpu", times.get(n.outputs[0], 0.01), (n.name,))
        for n in analysis.facts.nodes
    ]
    return Measured(analysis, Profile(tuple(kernels), sum(k.ms for k in kernels)))


WHOLE = model(32, 64)
BEFORE = measured(WHOLE, {"a": 2.0, "c": 8.0, "w": 1.0, "y": 0.5})


def compared(after: Analysis, times: dict[str, float]) -> dict[str, Any]:
    found = compare_layers(BEFORE, measured(after, times), STEPS)
    names = {n.name: n.outputs[0] for n in WHOLE.facts.nodes}
    return {**found, "layers": {names[r["node"]]: r for r in found["layers"]}}


def test_layers_that_keep_their_promise_have_no_cause() -> None:
    found = compared(model(16, 32), {"a": 1.0, "c": 2.0, "w": 0.5, "y": 0.25})
    assert {r["cause"] for r in found["layers"].values()} == {""}
    assert found["layers"]["c"]["macs_before"] == 4 * found["layers"]["c"]["macs_after"]
    assert found["rounding"] == {"layers": 0, "saves_ms": 0}


def test_widths_off_the_stairs() -> None:
    found = compared(model(17, 33), {"a": 2.1, "c": 5.0, "w": 0.5, "y": 0.25})
    row = found["layers"]["c"]
    assert row["cause"] == "width"
    assert (
        "17 input channels cost at least what 32 would and 33 output channels cost at least what 48 would"
        in row["why"]
    )
    assert "16 at a time" in row["why"]
    assert found["rounding"]["layers"] == 2
    share = 17 * 33 / (32 * 64)
    assert found["rounding"]["saves_ms"] == pytest.approx((5.0 - 8 * share) + (2.1 - 2 * 17 / 32))


def test_bound_by_memory() -> None:
    found = compared(model(16, 32), {"a": 1.0, "c": 2.0, "w": 1.0, "y": 0.25})
    row = found["layers"]["w"]
    assert row["cause"] == "memory"
    assert "multiply-adds for each byte" in row["why"]


def test_hardly_more_than_a_call() -> None:
    found = compared(model(16, 32), {"a": 0.1, "c": 0.2, "w": 0.05, "y": 0.5} | {"a": 0.02, "w": 0.02})
    assert found["layers"]["y"]["cause"] == "memory"  # of 10 outputs
    found = compared(model(16, 32), {"a": 0.2, "c": 0.4, "w": 0.025})
    assert found["layers"]["w"]["cause"] == ""  # faster than promised
    slow = measured(WHOLE, {"a": 0.5, "c": 0.4, "w": 0.02})
    rows = compare_layers(slow, measured(model(16, 32), {"a": 0.25, "c": 0.1, "w": 0.02}), STEPS)["layers"]
    assert {r["cause"] for r in rows if r["after_ms"] == 0.02} == {"call"}


def test_unknown_causes_are_said_to_be_so() -> None:
    found = compared(model(16, 32), {"a": 1.0, "c": 6.0, "w": 0.5, "y": 0.25})
    assert found["layers"]["c"]["cause"] == "other"


def test_unchanged_layers_say_what_kept_them() -> None:
    found = compared(model(32, 64), {"a": 2.0, "c": 8.0, "w": 1.0, "y": 0.5})
    assert found["layers"]["c"]["cause"] == "unchanged"
    assert 'could be cut but was not: "A[0]", "C[0]"' in found["layers"]["c"]["why"]


def test_frozen_layers_say_why() -> None:
    text = "n (float[n, 8, 32, 32] x) => (float[a, b, c, d] y) <float[8, 8, 3, 3] A> { y = Conv(x, A) }"
    analysis = analysed(build(text))[1]
    one = measured(analysis, {"y": 1.0})
    (row,) = compare_layers(one, one, STEPS)["layers"]
    assert row["cause"] == "unchanged"
    assert "frozen: " in row["why"]
    assert 'graph output "y"' in row["why"]


def test_all_time_is_accounted_for() -> None:
    found = compared(model(16, 32), {"a": 1.0, "c": 2.0, "w": 0.5, "y": 0.25})
    inside = sum(r["after_ms"] for r in found["layers"].values())
    assert found["elsewhere_ms"]["after"] == pytest.approx(3 * 0.01)
    assert inside == pytest.approx(3.75)
