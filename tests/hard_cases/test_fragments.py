"""Dimensions that are cut up, interleaved, rolled and put together again."""

from __future__ import annotations

import numpy as np

from graphprune.decide import Options, decide
from graphprune.dims import Slots
from graphprune.testing import analysed, prune_at_random, prune_slots
from tests.hard_cases.oracle import assert_exact, cut_keys, error_at, normal
from tests.rules.building import build, flat, image

_SHUFFLENET = """net (float[n, 3, 8, 8] x) => (float[N, V] y)
    <float[10, 3, 3, 3] A, float[14, 3, 3, 3] C, float[9, 9, 1, 1] D, float[9, 1, 3, 3] E, float[9, 9, 1, 1] F, float[24, 5] H,
     int64[2] odd = {15, 9}, int64[5] grid = {0, 2, 12, 8, 8}, int64[4] back = {0, 24, 8, 8}, int64[2] flat = {0, 24}>
    { a = Conv <pads = [1, 1, 1, 1]> (x, A)  c = Conv <pads = [1, 1, 1, 1]> (x, C)  j = Concat <axis = 1> (a, c)
      g0 = Reshape(j, grid)  g1 = Transpose <perm = [0, 2, 1, 3, 4]> (g0)  g = Reshape(g1, back)
      keep, work = Split <axis = 1> (g, odd)
      d = Conv(work, D)  dr = Relu(d)  e = Conv <group = 9, pads = [1, 1, 1, 1]> (dr, E)  f = Conv(e, F)  fr = Relu(f)
      k = Concat <axis = 1> (keep, fr)
      p = GlobalAveragePool(k)  q = Reshape(p, flat)  y = MatMul(q, H) }"""
# 8 x 8 tokens of 12 channels, windows of 4 x 4, 3 heads, a shift by 2, and a bias looked up for each pair of positions.
_SWIN = """net (float[n, 8, 8, 4] x) => (float[N, R, S, V] y)
    <float[4, 12] A, float[12, 36] QKV, float[36] qkv, float[12, 12] P, float[12, 5] H, float[49, 3] T, int64[256] index,
     float scale = {0.5}, int64[1] zero = {0}, int64[1] two = {2}, int64[1] six = {6}, int64[1] end = {9999},
     int64[1] one = {1}, int64[6] part = {-1, 2, 4, 2, 4, 12}, int64[3] windows = {-1, 16, 12},
     int64[5] split = {-1, 16, 3, 3, 4}, int64[3] square = {16, 16, 3}, int64[6] grid = {-1, 2, 2, 4, 4, 12},
     int64[4] whole = {-1, 8, 8, 12}, int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}>
    { h = MatMul(x, A)
      down = Slice(h, two, end, one)  up = Slice(h, zero, two, one)  rolled = Concat <axis = 1> (down, up)
      w0 = Reshape(rolled, part)  w1 = Transpose <perm = [0, 1, 3, 2, 4, 5]> (w0)  w = Reshape(w1, windows)
      f0 = MatMul(w, QKV)  f1 = Add(f0, qkv)  f2 = Reshape(f1, split)  f = Transpose <perm = [2, 0, 3, 1, 4]> (f2)
      q0 = Gather(f, i0)  k0 = Gather(f, i1)  v = Gather(f, i2)  q = Mul(q0, scale)
      k = Transpose <perm = [0, 1, 3, 2]> (k0)  c0 = MatMul(q, k)
      b0 = Gather(T, index)  b1 = Reshape(b0, square)  b2 = Transpose <perm = [2, 0, 1]> (b1)  b = Unsqueeze(b2, zero)
      c = Add(c0, b)  s = Softmax <axis = -1> (c)  o0 = MatMul(s, v)  o1 = Transpose <perm = [0, 2, 1, 3]> (o0)
      o2 = Reshape(o1, windows)  o = MatMul(o2, P)
      r0 = Reshape(o, grid)  r1 = Transpose <perm = [0, 1, 3, 2, 4, 5]> (r0)  r2 = Reshape(r1, whole)
      d2 = Slice(r2, zero, six, one)  u2 = Slice(r2, six, end, one)  back = Concat <axis = 1> (u2, d2)
      sum = Add(h, back)  y = MatMul(sum, H) }"""


def test_shufflenet_with_an_odd_split_finds_the_common_pieces() -> None:
    outcome = prune_at_random(build(_SHUFFLENET))
    assert_exact(outcome)
    groups = [g for g in outcome.analysis.groups if not g.frozen]
    assert sum(g.size for g in groups if g.key.startswith("A[0]")) <= 10
    assert outcome.decision.after.params < 0.75 * outcome.decision.before.params


def test_shifted_windows_with_a_relative_position_bias_lose_whole_heads() -> None:
    model = build(_SWIN, index=np.random.default_rng(0).integers(0, 49, 256))
    outcome = prune_at_random(model)
    kinds = {outcome.analysis.by_atom[a].kind: s.count for a, s in outcome.decision.keeps.items()}
    assert kinds == {"neurons": 6, "heads": 2}
    assert (outcome.size("QKV", 1), outcome.size("T", 1)) == (24, 2)  # the bias table goes with the heads
    assert_exact(outcome)
    assert error_at(outcome, x=normal(5, 8, 8, 4)) < 1e-5


def test_the_width_of_heads_can_be_cut_instead() -> None:
    model = build(_SWIN, index=np.arange(256) % 49)
    outcome = prune_at_random(model, structures=("head-dim",))
    assert outcome.size("QKV", 1) == 18
    assert outcome.size("T", 1) == 3
    assert_exact(outcome)


def test_a_frozen_part_does_not_freeze_the_rest() -> None:
    text = """net (float[n, 4] x) => (float[N, V] y, float[N, W] part)
        <float[4, 12] A, float[12, 3] B, int64[3] s = {3, 4, 5}>
        { h = MatMul(x, A)  one, part, three = Split <axis = 1> (h, s)  j = Concat <axis = 1> (three, part, one)  y = MatMul(j, B) }"""
    outcome = prune_at_random(build(text))
    groups = outcome.analysis.by_key
    assert (groups["A[1]"].size, groups["A[1].2"].size, groups["A[1].3"].size) == (3, 4, 5)
    assert groups["A[1].2"].frozen == 'reaches graph output "part"'
    assert cut_keys(outcome) == {"A[1]", "A[1].3"}
    assert_exact(outcome)


def test_a_part_that_meets_the_input_does_not_freeze_the_rest() -> None:
    outcome = prune_at_random(
        build(
            flat(
                "r = Slice(h, b, e, k) s = Add(r, x) z = Concat <axis = 1> (h, s)",
                "int64[1] b = {2}, int64[1] e = {6}, int64[1] k = {1}",
                h=8,
                z=12,
            )
        )
    )
    groups = outcome.analysis.by_key
    assert [groups[k].size for k in ("A[1]", "A[1].2", "A[1].3")] == [2, 4, 2]
    assert 'graph input "x"' in groups["A[1].2"].frozen
    assert_exact(outcome)


def test_groups_of_a_grouped_convolution_keep_different_channels() -> None:
    outcome = prune_at_random(
        build(image("z = Conv <group = 3> (h, W, b)", "float[12, 4, 3, 3] W, float[12] b", h=12, z=12))
    )
    group = outcome.analysis.by_key["A[0].2"]
    assert (group.size, outcome.analysis.atom_sizes[group.outer[0]]) == (4, 3)
    kept = outcome.decision.keeps[group.atom].index
    assert kept.shape == (3, 2)
    assert len({tuple(row) for row in kept}) > 1
    assert outcome.size("W", 1) == 2
    assert_exact(outcome)


def test_heads_keep_different_channels_where_nothing_ties_them() -> None:
    text = """net (float[n, t, 4] x) => (float[N, T, V] y) <float[4, 12] A, float[3, 4, 6] W, float[18, 3] B,
        int64[4] s = {0, 0, 3, 4}, int64[3] m = {0, 0, 18}>
        { h = MatMul(x, A)  k = Reshape(h, s)  r = Relu(k)
          e = Einsum <equation = "bthd,hde->bthe"> (r, W)  z = Reshape(e, m)  y = MatMul(z, B) }"""
    model, analysis = analysed(build(text))
    width, heads = analysis.by_key["A[1].2"], analysis.by_key["A[1]"]
    assert width.outer == (heads.atom,)
    keeps = {width.atom: Slots(np.array([[0, 1], [1, 3], [0, 2]]), width.outer)}
    outcome = prune_slots(model, analysis, keeps, decide(analysis, Options()))
    assert (outcome.size("A", 1), outcome.size("W", 1)) == (6, 2)
    assert outcome.equivalence.status == "equal"
    assert outcome.equivalence.change > 1e-3


def test_one_module_called_twice_has_one_set_of_dimensions() -> None:
    text = """net (float[n, 4] x, float[n, 4] w) => (float[N, V] y)
        <float[4, 8] A, float[8] a, float[8, 6] C, float[12, 3] B>
        { h1 = Gemm(x, A, a)  r1 = Relu(h1)  c1 = MatMul(r1, C)  h2 = Gemm(w, A, a)  r2 = Tanh(h2)  c2 = MatMul(r2, C)
          z = Concat <axis = 1> (c1, c2)  y = MatMul(z, B) }"""
    outcome = prune_at_random(build(text))
    assert cut_keys(outcome) == {"A[1]", "C[1]"}
    assert (outcome.size("A", 1), outcome.size("C", 0), outcome.size("B", 0)) == (4, 4, 6)
    assert_exact(outcome)


def test_one_weight_in_two_layouts() -> None:
    text = """net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A, float[8, 6] W, float[8, 3] B>
        { h = MatMul(x, A)  c = MatMul(h, W)  r = Relu(c)  d = Gemm <transB = 1> (r, W)  z = Tanh(d)  y = MatMul(z, B) }"""
    outcome = prune_at_random(build(text))
    assert cut_keys(outcome) == {"A[1]", "W[1]"}
    assert (outcome.size("W", 0), outcome.size("W", 1), outcome.size("B", 0)) == (4, 3, 4)
    assert_exact(outcome)


def test_a_transposed_convolution_behind_a_reshape() -> None:
    text = """net (float[n, 4] x) => (float[N, C, H, W] y)
        <float[4, 96] A, float[96] a, float[6, 8, 2, 2] W, float[3, 8, 1, 1] B, int64[4] s = {-1, 6, 4, 4}>
        { h = Gemm(x, A, a)  v = Reshape(h, s)  c = ConvTranspose <strides = [2, 2]> (v, W)  r = Relu(c)  y = Conv(r, B) }"""
    outcome = prune_at_random(build(text))
    assert (outcome.size("A", 1), outcome.size("W", 0), outcome.size("W", 1)) == (48, 3, 4)
    assert_exact(outcome)
