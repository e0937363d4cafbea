"""What is picked out of a Concat is read from the operand that holds it, and the numbers stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.testing import prune_at_random

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
STACKED = (
    HEAD
    + """net (float[t, n, 6] x) => (float[n, 3] y) {{
  a, h1 = GRU <hidden_size = 8, direction = "{direction}"> (x, W1, R1)
  b, h2 = LSTM <hidden_size = 8> (x, W2, R2)
  c, h3 = RNN <hidden_size = 8> (x, W3, R3)
  j = Concat <axis = 0> (h1, h2, h3)
  {pick}
  y = MatMul(s, B) }}"""
)
PICKS = {
    "first": ("i = Constant <value_int = 0> ()  s = Gather(j, i)", "h1"),
    "second": ("i = Constant <value_int = 1> ()  s = Gather(j, i)", "h2"),
    "last": ("i = Constant <value_int = -1> ()  s = Gather(j, i)", "h3"),
    "last but one": ("i = Constant <value_ints = [-2]> ()  g = Gather(j, i)  s = Squeeze(g, zero)", "h2"),
    "slice": ("g = Slice(j, one, two, zero)  s = Squeeze(g, zero)", "h2"),
    "slice from the end": (
        "a1 = Constant <value_ints = [-2]> ()  e = Constant <value_ints = [-1]> ()  g = Slice(j, a1, e, zero)  s = Squeeze(g, zero)",
        "h2",
    ),
    "slice to the end": (
        "e = Constant <value_ints = [9223372036854775807]> ()  g = Slice(j, two, e, zero)  s = Squeeze(g, zero)",
        "h3",
    ),
    "the last slot": (
        "a1 = Constant <value_ints = [-1]> ()  e = Constant <value_ints = [2147483647]> ()  g = Slice(j, a1, e, zero)  s = Squeeze(g, zero)",
        "h3",
    ),
    "split": (
        "k = Constant <value_ints = [1, 1, 1]> ()  p, q, r = Split(j, k)  s = Squeeze(q, zero)",
        "h2",
    ),
    "a join of joins": (
        "d = Concat <axis = 0> (h3, j)  i = Constant <value_int = 2> ()  s = Gather(d, i)",
        "h2",
    ),
}


def weights(directions: int = 1) -> dict[str, Any]:
    shapes: dict[str, Any] = {"W1": (directions, 24, 6), "R1": (directions, 24, 8), "B": (8, 3)}
    shapes |= {"W2": (1, 32, 6), "R2": (1, 32, 8), "W3": (1, 8, 6), "R3": (1, 8, 8)}
    return shapes | {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}


def read_by(model: ir.Model, name: str) -> set[str]:
    return {n.op_type for n in model.graph if any(v is not None and v.name == name for v in n.inputs)}


@pytest.mark.parametrize("pick", PICKS)
def test_the_layer_that_is_picked_is_read_itself(build, agree, pick: str) -> None:  # type: ignore[no-untyped-def]
    text, source = PICKS[pick]
    model = build(STACKED.format(direction="forward", pick=text), **weights())
    x = np.random.default_rng(2).standard_normal((4, 3, 6)).astype(np.float32)
    normal = agree(model, x=x)
    assert "Concat" not in {n.op_type for n in normal.graph}
    assert read_by(normal, source)
    outcome = prune_at_random(model)
    assert outcome.equivalence.status == "equal"
    assert outcome.size("B", 0) == 4


def test_layers_with_two_directions_count_twice(build, agree) -> None:  # type: ignore[no-untyped-def]
    text = STACKED.format(direction="bidirectional", pick="i = Constant <value_int = 2> ()  s = Gather(j, i)")
    x = np.random.default_rng(2).standard_normal((4, 3, 6)).astype(np.float32)
    normal = agree(build(text, **weights(2)), x=x)
    assert read_by(normal, "h2") == {"Gather"}


LEFT_ALONE = {
    "a piece of two operands": "i = Constant <value_ints = [0, 1]> ()  s0 = Gather(j, i)  s = ReduceSum <keepdims = 0> (s0, zero)",
    "places from both ends": "i = Constant <value_ints = [0, -3]> ()  s0 = Gather(j, i)  s = ReduceSum <keepdims = 0> (s0, zero)",
    "another axis": "i = Constant <value_ints = [1]> ()  s0 = Gather <axis = 1> (j, i)  s = ReduceSum <keepdims = 0> (s0, zero)",
}


@pytest.mark.parametrize("pick", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_other_picks_are_left_alone(build, agree, pick: str) -> None:  # type: ignore[no-untyped-def]
    x = np.random.default_rng(2).standard_normal((4, 3, 6)).astype(np.float32)
    normal = agree(build(STACKED.format(direction="forward", pick=pick), **weights()), x=x)
    assert "Concat" in {n.op_type for n in normal.graph}


@pytest.mark.parametrize(("place", "reads"), [(0, "j"), (3, "j"), (-1, "o"), (-4, "o"), (-5, "h")])
def test_sizes_that_are_not_known_are_not_passed(build, agree, place: int, reads: str) -> None:  # type: ignore[no-untyped-def]
    """The rows of an input are the caller's: they are not passed, but what lies behind them can be counted from the end."""
    text = (
        HEAD
        + f"""net (float[t, 6] x) => (float[M] y) {{
      h = MatMul(x, W)  j = Concat <axis = 0> (h, o)  i = Constant <value_int = {place}> ()  y = Gather(j, i) }}"""
    )
    x = np.random.default_rng(2).standard_normal((4, 6)).astype(np.float32)
    normal = agree(build(text, W=(6, 5), o=(4, 5)), x=x)
    assert read_by(normal, reads) == {"Gather"}
