"""What the fuzzer found, each as the smallest graph that showed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from graphfuzz import check

from graphprune.testing import prune_at_random


@dataclass(frozen=True, slots=True)
class Found:
    """A graph, the shapes of its weights, other constants, and what must be true of its groups.

    Attributes:
        text: the graph in ONNX text form.
        weights: shapes of the float weights.
        given: other constants.
        cut: keys of groups that are cut.
        kept: keys of groups that are left alone, with a piece of the reason.
        opset: version of the operators.
    """

    name: str
    text: str
    weights: dict[str, tuple[int, ...]]
    given: dict[str, Any] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    kept: dict[str, str] = field(default_factory=dict)
    opset: int = 17

    def model(self) -> onnx.ModelProto:
        """The model with random weights."""
        model = onnx.parser.parse_model(f'<ir_version: 11, opset_import: ["" : {self.opset}]> {self.text}')
        draw = np.random.default_rng(3)
        for name, shape in self.weights.items():
            values = draw.uniform(0.3, 1.3, shape) * draw.choice([-1.0, 1.0], shape)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        for name, value in self.given.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return model


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


FOUND = (
    Found(
        # A step of zeros still turns the state of a recurrence; no step does not.
        "steps of a recurrence",
        """net (float[N, 3, 6] x) => (float[N, 4] y) {
            c = Conv <pads = [1, 1]> (x, A)
            s = Transpose <perm = [1, 0, 2]> (c)
            h, last = LSTM <hidden_size = 4> (s, W, R)
            l = Squeeze (last, zero)
            y = MatMul (l, B)
        }""",
        {"A": (8, 3, 3), "W": (1, 16, 6), "R": (1, 16, 4), "B": (4, 4)},
        {"zero": _ints(0)},
        kept={"A[0]": "the steps of LSTM"},
    ),
    Found(
        # A state without weights drifts away from zero if its candidates are sigmoids.
        "a recurrence that does not rest at zero",
        """net (float[6, N, 3] x) => (float[6, N, 3] y, float[6, 1, N] z) {
            h = RNN <hidden_size = 4, activations = ["Sigmoid"]> (x, W, R)
            l = Squeeze (h, one)
            y = MatMul (l, B)
            q = Mul (h, h)
            z = ReduceSum <keepdims = 0> (q, last)
        }""",
        {"W": (1, 4, 3), "R": (1, 4, 4), "B": (4, 3)},
        {"one": _ints(1), "last": _ints(3)},
        kept={"W[1]": "do not hold zero"},
    ),
    Found(
        # The copies that an Expand makes hold the same numbers whatever becomes of the weights behind it.
        "repeats are not zero",
        """net (float[N, 3] x) => (float[N, 3] y, float[N, 5] z) {
            h = MatMul (x, A)
            u = Unsqueeze (h, one)
            e = Expand (u, times)
            g = Mul (e, G)
            f = Flatten (g)
            y = MatMul (f, B)
            n = ReduceL2 <axes = [1], keepdims = 0> (e)
            z = MatMul (n, C)
        }""",
        {"A": (3, 4), "G": (3, 4), "B": (12, 3), "C": (4, 5)},
        {"one": _ints(1), "times": _ints(1, 3, 1)},
        cut=("A[1]",),
        kept={"G[0]": "do not hold zero"},
    ),
    Found(
        # Every second slot, from a start that is counted from the end.
        "a stepped slice from a negative start",
        """net (float[N, 3] x) => (float[N, 2] y) {
            h = MatMul (x, A)
            s = Slice (h, start, end, axis, step)
            y = MatMul (s, B)
        }""",
        {"A": (3, 8), "B": (4, 2)},
        {"start": _ints(-7), "end": _ints(2**31), "axis": _ints(1), "step": _ints(2)},
        cut=("A[1]",),
    ),
    Found(
        # What stays before the slice has no slot that could go, what is taken has.
        "a slice from a negative start behind a fixed part",
        """net (float[N, 2] x) => (float[N, 3] y) {
            h = MatMul (x, A)
            j = Concat <axis = 1> (x, h)
            s = Slice (j, start, end, axis)
            y = MatMul (s, B)
        }""",
        {"A": (2, 6), "B": (6, 3)},
        {"start": _ints(-6), "end": _ints(2**31), "axis": _ints(1)},
        cut=("A[1]",),
    ),
    Found(
        # Rows of a Gram matrix meet all others, so that every row must keep the same indices.
        "a Gram matrix of blocks",
        """net (float[N, 7] x) => (float[N, 3, 2] y) {
            h = MatMul (x, A)
            r = Reshape (h, blocks)
            t = Transpose <perm = [0, 2, 1]> (r)
            g = MatMul (r, t)
            a = Tanh (g)
            y = MatMul (a, B)
        }""",
        {"A": (7, 12), "B": (3, 2)},
        {"blocks": _ints(0, 3, 4)},
        cut=("A[1].2",),
    ),
    Found(
        # A sum over the columns of a block needs the same rows in all of them, though a square
        # matrix makes columns again.
        "blocks before a square matrix",
        """net (float[N, 7] x) => (float[N, 3] y) {
            h = MatMul (x, A)
            r = Reshape (h, blocks)
            m = MatMul (r, W)
            s = Add (r, m)
            f = Flatten (s)
            y = MatMul (f, B)
        }""",
        {"A": (7, 12), "W": (4, 4), "B": (12, 3)},
        {"blocks": _ints(0, 3, 4)},
    ),
    Found(
        # Keys and values are one tensor: the result mentions the width that the scores sum over.
        "attention of tied keys and values",
        """net (float[N, 5, 6] x) => (float[N, 5, 3] y) {
            q = MatMul (x, Q)
            k = MatMul (x, K)
            a = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, k)
            y = MatMul (a, B)
        }""",
        {"Q": (6, 16), "K": (6, 8), "B": (16, 3)},
        opset=23,
    ),
    Found(
        # The same dimension three times over, with other slots picked from each.
        "picks from repeats of one dimension",
        """net (float[N, 5] x) => (float[N, 1] y, float[N, 3] z) {
            h = MatMul (x, A)
            c = Concat <axis = 1> (h, h, h)
            m = ArgMax <axis = 1> (c)
            y = Cast <to = 1> (m)
            g = Gather <axis = 1> (c, some)
            z = MatMul (g, B)
        }""",
        {"A": (5, 4), "B": (7, 3)},
        {"some": _ints(0, 8, 4, 2, 7, 1, 11)},
    ),
    Found(
        # A criterion must score the slots that an index leaves out as well.
        "the last slots are not picked",
        """net (float[N, 7] x) => (float[N, 3] y) {
            h = MatMul (x, A)
            t = Concat <axis = 1> (h, h, h)
            left, right = Split <axis = 1> (t)
            g = Gather <axis = 1> (right, some)
            y = MatMul (g, B)
        }""",
        {"A": (7, 12), "B": (7, 3)},
        {"some": _ints(3, 3, 6, 9, 14, 11, 10)},
    ),
    Found(
        # To write zeros is not the same as not to write.
        "rows that are written by index",
        """net (float[5, 6] x) => (float[5, 3] y) {
            h = MatMul (x, A)
            s = ScatterND (h, rows, U)
            y = MatMul (s, B)
        }""",
        {"A": (6, 8), "U": (2, 8), "B": (8, 3)},
        {"rows": np.array([[3], [1]], np.int64)},
        cut=("A[1]",),
        kept={"U[0]": "an axis of graph input"},
    ),
    Found(
        # Slots that a Pad fills with another value than zero are not zero.
        "a pad that is not zero",
        """net (float[N, 3] x) => (float[N, 1] y) {
            h = MatMul (x, A)
            p = Pad (h, pads, fill)
            q = Mul (p, G)
            r = Mul (q, q)
            s = Add (r, p)
            t = Mul (s, s)
            y = ReduceSum (t, axis)
        }""",
        {"A": (3, 4), "G": (7,)},
        {"pads": _ints(0, 1, 0, 2), "fill": np.float32(0.7), "axis": _ints(1)},
        kept={"A[1]": "do not hold zero"},
    ),
    Found(
        # Both operands are zero at removed slots, their broadcast sum is so only where both are removed.
        "a sum of rows and columns",
        """net (float[N, 3] x) => (float[N, 1, 2] y) {
            h = MatMul (x, A)
            rows = Unsqueeze (h, last)
            columns = Unsqueeze (h, middle)
            table = Add (rows, columns)
            square = Mul (table, table)
            sums = ReduceSum (square, last)
            flat = Transpose <perm = [0, 2, 1]> (sums)
            y = MatMul (flat, B)
        }""",
        {"A": (3, 6), "B": (6, 2)},
        {"last": _ints(2), "middle": _ints(1)},
        kept={"A[1]": "do not hold zero"},
    ),
)


@pytest.mark.parametrize("found", FOUND, ids=lambda f: f.name)
def test_what_was_found_stays_fixed(found: Found) -> None:
    model = found.model()
    outcome = prune_at_random(model, 0.5, seed=2)
    keys = {outcome.analysis.by_atom[a].key for a in outcome.decision.keeps}
    assert set(found.cut) <= keys
    for key, reason in found.kept.items():
        assert reason in outcome.reason(key), (key, outcome.reason(key))
    if keys:
        assert outcome.equivalence.status == "equal", outcome.equivalence
    for seed in range(3):
        assert check(model, seed).runnable
