"""Sizes: wrong ones in the file, those computed at run time, and values computed from a pruned size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from graphprune.testing import prune_at_random
from tests.hard_cases.oracle import assert_exact, cut_keys, error_at, normal, ops
from tests.rules.building import build

_ATTENTION = """net (float[n, t, 4] x) => (float[N, T, V] y)
    <float[4, 12] Q, float[4, 12] K, float[4, 12] V, float[12, 5] B, int64 i0 = {{0}}, int64 i1 = {{1}}, int64 i2 = {{2}}, int64 i3 = {{3}},
     int64[1] axis = {{0}}, int64[1] heads = {{3}}, int64[1] rest = {{-1}}>
    {{ q0 = MatMul(x, Q)  k0 = MatMul(x, K)  v0 = MatMul(x, V)
       s = Shape(q0)  n0 = Gather(s, i0)  t0 = Gather(s, i1)  d0 = Gather(s, i2)
       n1 = Unsqueeze(n0, axis)  t1 = Unsqueeze(t0, axis)  d1 = Unsqueeze(d0, axis)
       e1 = Div(d1, heads)  f = Concat <axis = 0> (n1, t1, heads, e1)
       q1 = Reshape(q0, f)  k1 = Reshape(k0, f)  v1 = Reshape(v0, f)
       q = Transpose <perm = [0, 2, 1, 3]> (q1)  k = Transpose <perm = [0, 2, 3, 1]> (k1)
       v = Transpose <perm = [0, 2, 1, 3]> (v1)
       c0 = MatMul(q, k)  {scale}  p = Softmax <axis = -1> (c)  o = MatMul(p, v)
       u = Transpose <perm = [0, 2, 1, 3]> (o)  g = Concat <axis = 0> (n1, t1, {last})  z = Reshape(u, g)  y = MatMul(z, B) }}"""
_SCALE = "qs = Shape(q)  w = Gather(qs, i3)  wf = Cast <to = 1> (w)  r = Sqrt(wf)  c = Div(c0, r)"


@pytest.mark.parametrize("last", ["d1", "rest"])
def test_batch_and_sequence_stay_free_behind_shape_arithmetic(last: str) -> None:
    outcome = prune_at_random(build(_ATTENTION.format(scale="c = Identity(c0)", last=last)))
    assert cut_keys(outcome) == {"Q[1]"}
    assert outcome.size("Q", 1) == 8
    assert_exact(outcome)
    for shape in ((1, 1, 4), (5, 9, 4), (4, 12, 4), (2, 3, 4)):
        assert error_at(outcome, x=normal(*shape)) < 1e-5


def test_an_attention_scale_computed_from_a_shape_keeps_its_value() -> None:
    model = build(_ATTENTION.format(scale=_SCALE, last="d1"))
    outcome = prune_at_random(model, structures=("head-dim",))
    assert outcome.size("Q", 1) == 6  # half of each head's width
    assert_exact(outcome)
    assert error_at(outcome, x=normal(3, 7, 4)) < 1e-5


def test_the_mean_over_a_pruned_axis_is_refused_as_inexact() -> None:
    text = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, int64[1] axes = {1}, float[8, 3] B>
        { h = MatMul(x, A)  m = ReduceMean(h, axes)  d = Sub(h, m)  r = Relu(d)  y = MatMul(r, B) }"""
    outcome = prune_at_random(build(text))
    assert not outcome.decision.keeps
    assert "normalised over by ReduceMean" in outcome.reason("A[1]")
    assert "--structures residual" in outcome.reason("A[1]")


def test_the_mean_of_other_axes_is_exact() -> None:
    text = """net (float[n, t, 4] x) => (float[N, V] y) <float[4, 8] A, int64[1] axes = {1}, float[8, 3] B>
        { h = MatMul(x, A)  m = ReduceMean <keepdims = 0> (h, axes)  y = MatMul(m, B) }"""
    outcome = prune_at_random(build(text))
    assert_exact(outcome)
    assert error_at(outcome, x=normal(3, 17, 4)) < 1e-5


def test_shapes_written_in_the_file_are_not_believed() -> None:
    text = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 6] C, float[6, 3] B>
        { h = MatMul(x, A)  r = Relu(h)  c = MatMul(r, C)  s = Relu(c)  y = MatMul(s, B) }"""
    model = build(text)
    for name, shape in (("h", (2, 4)), ("r", (8, 2)), ("c", (3, 3, 3))):
        model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, 1, shape))
    outcome = prune_at_random(model)
    assert cut_keys(outcome) == {"A[1]", "C[1]"}
    assert_exact(outcome)


def test_a_stale_number_in_a_reshape_is_brought_up_to_date() -> None:
    text = """net (float[n, 3, 4, 4] x) => (float[N, V] y) <float[6, 3, 3, 3] A, int64[2] s = {-1, 24}, float[24, 5] B>
        { h = Conv(x, A)  r = Reshape(h, s)  y = MatMul(r, B) }"""
    outcome = prune_at_random(build(text))
    assert outcome.size("B", 0) == 12
    assert_exact(outcome)
    assert error_at(outcome, x=normal(5, 3, 4, 4)) < 1e-5


def test_shape_arithmetic_that_nothing_reads_any_more_is_removed() -> None:
    outcome = prune_at_random(build(_ATTENTION.format(scale="c = Identity(c0)", last="d1")))
    assert ops(outcome).count("Div") == 0
    assert np.all(
        [
            n
            in (
                "Shape",
                "Gather",
                "Unsqueeze",
                "Concat",
                "Reshape",
                "MatMul",
                "Transpose",
                "Softmax",
                "Identity",
            )
            for n in ops(outcome)
        ]
    )


def test_a_resize_to_a_size_computed_from_the_input_keeps_space_free() -> None:
    text = """net (float[n, 3, h, w] x) => (float[N, C, H, W] y)
        <float[8, 3, 3, 3] A, float[5, 8, 1, 1] B, int64[1] zero = {0}, int64[1] two = {2}, int64[1] four = {4}, int64[2] double = {2, 2}>
        { c = Conv <pads = [1, 1, 1, 1]> (x, A)  s = Shape(c)  front = Slice(s, zero, two)  space = Slice(s, two, four)
          wide = Mul(space, double)  sizes = Concat <axis = 0> (front, wide)
          z = Resize <mode = "nearest"> (c, , , sizes)  y = Conv(z, B) }"""
    outcome = prune_at_random(build(text))
    assert outcome.size("A", 0) == 4
    assert_exact(outcome)
    for shape in ((1, 3, 5, 9), (4, 3, 8, 8)):
        assert error_at(outcome, x=normal(*shape)) < 1e-5


_BAKED = """net (float[n, t, 4] x) => (float[N, T, V] y)
    <float[4, 24] A, float[1, 12, 1] P, float[12, 5] B, int64 i1 = {{1}}, int64 i2 = {{2}}, int64[1] zero = {{0}}, int64[1] axis = {{2}},
     int64 one = {{1}}, int64 two = {{2}}, int64[1] o = {{1}}>
    {{ q = MatMul(x, A)  h = Add(q, P)  s = Shape(h)  w = Gather(s, i2)  sx = Shape(x)  l = Gather(sx, i1)
       p = Add(w, one)  m = Div(p, two)  {end}
       a = Slice(h, zero, e, axis, o)  r = Relu(a)  y = MatMul(r, B) }}"""


def test_half_of_a_width_is_known_though_the_length_is_written_down() -> None:
    """The table of positions accepts one length only: nothing is known to be static by comparing runs."""
    outcome = prune_at_random(build(_BAKED.format(end="e = Unsqueeze(m, zero)")))
    assert outcome.analysis.recording.note == "recorded at one size of t"
    assert outcome.size("B", 0) == 6
    assert_exact(outcome)


def test_a_place_that_follows_the_length_is_not_taken_for_static() -> None:
    outcome = prune_at_random(build(_BAKED.format(end="e = Unsqueeze(l, zero)")))
    assert outcome.analysis.recording.note == "recorded at one size of t"
    assert "computed at run time by Slice" in outcome.reason("A[1]")


def test_some_sizes_of_a_shape_are_static_and_others_not() -> None:
    """A Concat of a length and a width: the width can be read off, the length cannot."""
    end = "z = Unsqueeze(m, zero)  k = Unsqueeze(l, zero)  c = Concat <axis = 0> (k, z)  e = Slice(c, o, b2, zero)"
    text = _BAKED.replace("int64 one", "int64[1] b2 = {{2}}, int64 one").format(end=end)
    outcome = prune_at_random(build(text))
    assert outcome.size("B", 0) == 6
    assert_exact(outcome)


def test_an_output_as_long_as_the_data_say() -> None:
    """Masking changes how many rows come out: the pruned model gives as many as the masked original."""
    text = """net (float[n, 4] x) => (float[K, V] y) <float[4, 8] A, float[8, 3] B, int64[1] last = {1}, float zero = {0}>
        { h = MatMul(x, A)  r = Relu(h)  o = MatMul(r, B)  s = ReduceSum <keepdims = 0> (o, last)
          c = Greater(s, zero)  y = Compress <axis = 0> (o, c) }"""
    outcome = prune_at_random(build(text))
    assert_exact(outcome)
    assert error_at(outcome, x=normal(40, 4)) < 1e-5


@pytest.mark.parametrize("end", ["s = Shape(r)", "s = Shape <start = 1> (r)", "s = Size(r)"])
def test_a_size_that_is_given_out_is_the_one_of_the_original(end: str) -> None:
    text = f"""net (float[n, 4] x) => (int64[K] s, float[N, V] y) <float[4, 8] A, float[8, 3] B, int64[1] m = {{-1}}>
        {{ h = MatMul(x, A)  r = Relu(h)  {end}  e = Reshape(s, m)  f = Cast <to = 1> (e)  t = ReduceSum <keepdims = 0> (f)
           o = MatMul(r, B)  y = Div(o, t) }}"""
    model = build(text)
    if "Size" in end:
        del model.graph.output[0].type.tensor_type.shape.dim[:]
    outcome = prune_at_random(model)
    assert outcome.size("A", 1) == 4
    assert_exact(outcome)
    assert [v.name for v in outcome.pruned.graph.outputs] == ["s", "y"]
    assert error_at(outcome, x=normal(7, 4)) < 1e-5
