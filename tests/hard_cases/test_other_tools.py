"""What users of other pruners ran into: each is a small graph of the pattern that failed there."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.testing import prune_at_random
from tests.hard_cases.oracle import assert_exact, cut_keys, error_at, normal
from tests.rules.building import build, flat, image, tokens

_C2F = image(
    "l, r = Split <axis = 1> (h, s)  c1 = Conv <pads = [1, 1, 1, 1]> (r, C)  r1 = Relu(c1)"
    "  d1 = Conv <pads = [1, 1, 1, 1]> (r1, D)  b1 = Add(r, d1)"
    "  c2 = Conv <pads = [1, 1, 1, 1]> (b1, E)  r2 = Relu(c2)  d2 = Conv <pads = [1, 1, 1, 1]> (r2, F)  b2 = Add(b1, d2)"
    "  z = Concat <axis = 1> (l, r, b1, b2)",
    "int64[2] s = {6, 6}, float[6, 6, 3, 3] C, float[6, 6, 3, 3] D, float[6, 6, 3, 3] E, float[6, 6, 3, 3] F",
    h=12,
    z=24,
)
# Coordinate attention: means along both axes of space, joined along space, and taken apart again.
_COORDINATES = image(
    "r = ReduceMean(h, w_)  c = ReduceMean(h, h_)  ct = Transpose <perm = [0, 1, 3, 2]> (c)  j = Concat <axis = 2> (r, ct)"
    "  k = Conv(j, C, c0)  k1 = HardSwish(k)  rs, cs = Split <axis = 2> (k1, s)  cb = Transpose <perm = [0, 1, 3, 2]> (cs)"
    "  ra = Conv(rs, D)  rg = Sigmoid(ra)  ca = Conv(cb, E)  cg = Sigmoid(ca)  z0 = Mul(h, rg)  z = Mul(z0, cg)",
    "int64[1] h_ = {2}, int64[1] w_ = {3}, float[6, 8, 1, 1] C, float[6] c0, int64[2] s = {6, 6}, float[8, 6, 1, 1] D, float[8, 6, 1, 1] E",
)
_VIT = """net (float[n, 3, 8, 8] x) => (float[N, V] y)
    <float[12, 3, 4, 4] A, float[12] a, float[1, 1, 12] cls, float[1, 5, 12] pos, float[12] gain1, float[12] b1, float[12, 36] QKV, float[36] qkv,
     float[12, 12] P, float[12] p, float[12] gain2, float[12] b2, float[12, 20] U, float[20] u, float[20, 12] D, float[12] d,
     float[12] gain3, float[12] b3, float[12, 5] H, int64[3] seq = {0, 12, -1}, int64[3] many = {-1, 1, 12},
     int64[5] split = {0, 5, 3, 3, 4}, int64[3] join = {0, 5, 12}, float scale = {0.5}, int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, int64[1] n1 = {1}, int64[2] m = {1, 12}>
    { c = Conv <strides = [4, 4]> (x, A, a)  e = Reshape(c, seq)  t = Transpose <perm = [0, 2, 1]> (e)
      xs = Shape <end = 1> (x)  cs = Concat <axis = 0> (xs, m)  cx = Expand(cls, cs)
      j = Concat <axis = 1> (cx, t)  h = Add(j, pos)
      l1 = LayerNormalization(h, gain1, b1)  f0 = MatMul(l1, QKV)  f1 = Add(f0, qkv)  f2 = Reshape(f1, split)
      f = Transpose <perm = [2, 0, 3, 1, 4]> (f2)  q0 = Gather(f, i0)  k0 = Gather(f, i1)  v = Gather(f, i2)  q = Mul(q0, scale)
      k = Transpose <perm = [0, 1, 3, 2]> (k0)  s0 = MatMul(q, k)  s = Softmax(s0)  o0 = MatMul(s, v)
      o1 = Transpose <perm = [0, 2, 1, 3]> (o0)  o2 = Reshape(o1, join)  o3 = MatMul(o2, P)  o = Add(o3, p)  h1 = Add(h, o)
      l2 = LayerNormalization(h1, gain2, b2)  g0 = MatMul(l2, U)  g1 = Add(g0, u)  g = Gelu(g1)  g2 = MatMul(g, D)  g3 = Add(g2, d)
      h2 = Add(h1, g3)  l3 = LayerNormalization(h2, gain3, b3)  first = Gather <axis = 1> (l3, i0)  y = MatMul(first, H) }"""
# Grouped queries with rotary halves, as decoders are exported: 6 query heads, 3 key-value heads of width 4.
_DECODER = """net (float[n, t, 4] x) => (float[N, T, V] y)
    <float[4, 12] A, float[12] gain, float[12, 24] Q, float[12, 12] K, float[12, 12] V, float[24, 12] O, float[12, 10] U, float[12, 10] G,
     float[10, 12] D, float[12, 5] H, int64[4] q4 = {0, 0, 6, 4}, int64[4] k4 = {0, 0, 3, 4}, int64[1] two = {2}, int64[5] rep = {1, 1, 2, 1, 1},
     int64[4] heads = {0, 6, -1, 4}, int64[3] join = {0, 0, 24}, float scale = {0.5}, int64[1] zero = {0}, int64[1] end = {9999}, int64[1] last = {3},
     float[4] cos, float[4] sin, float eps = {0.00001}, float pow2 = {2}, int64[1] minus = {-1}>
    { h = MatMul(x, A)  sq = Pow(h, pow2)  ms = ReduceMean(sq, minus)  me = Add(ms, eps)  rt = Sqrt(me)  nm = Div(h, rt)  l = Mul(nm, gain)
      qa = MatMul(l, Q)  qb = Reshape(qa, q4)  q = Transpose <perm = [0, 2, 1, 3]> (qb)
      ka = MatMul(l, K)  kb = Reshape(ka, k4)  k = Transpose <perm = [0, 2, 1, 3]> (kb)
      va = MatMul(l, V)  vb = Reshape(va, k4)  v = Transpose <perm = [0, 2, 1, 3]> (vb)
      q1 = Slice(q, zero, two, last)  q2 = Slice(q, two, end, last)  q3 = Neg(q2)  q5 = Concat <axis = 3> (q3, q1)
      qc = Mul(q, cos)  qs = Mul(q5, sin)  qr = Add(qc, qs)
      k1 = Slice(k, zero, two, last)  k2 = Slice(k, two, end, last)  k3 = Neg(k2)  k5 = Concat <axis = 3> (k3, k1)
      kc = Mul(k, cos)  ks = Mul(k5, sin)  kr = Add(kc, ks)
      ku = Unsqueeze(kr, two)  kx = Expand(ku, rep)  kk = Reshape(kx, heads)
      vu = Unsqueeze(v, two)  vx = Expand(vu, rep)  vv = Reshape(vx, heads)
      kt = Transpose <perm = [0, 1, 3, 2]> (kk)  s0 = MatMul(qr, kt)  s1 = Mul(s0, scale)  s = Softmax(s1)
      o = MatMul(s, vv)  o1 = Transpose <perm = [0, 2, 1, 3]> (o)  o2 = Reshape(o1, join)  o3 = MatMul(o2, O)  r = Add(h, o3)
      u = MatMul(r, U)  g = MatMul(r, G)  ga = Sigmoid(g)  gs = Mul(g, ga)  ug = Mul(u, gs)  d = MatMul(ug, D)  e = Add(r, d)  y = MatMul(e, H) }"""


def test_a_block_of_splits_and_joins_loses_channels_everywhere() -> None:
    outcome = prune_at_random(build(_C2F))
    assert cut_keys(outcome) == {"A[0]", "A[0].2", "C[0]", "E[0]"}
    assert_exact(outcome)


def test_attention_over_coordinates() -> None:
    outcome = prune_at_random(build(_COORDINATES))
    assert cut_keys(outcome) == {"A[0]", "C[0]"}
    assert_exact(outcome)


def test_one_output_channel_is_not_taken_for_a_depthwise_convolution() -> None:
    outcome = prune_at_random(
        build(image("m = Conv(h, W) s = Sigmoid(m) z = Mul(h, s)", "float[1, 8, 1, 1] W"))
    )
    assert (outcome.size("W", 0), outcome.size("W", 1)) == (1, 4)
    assert_exact(outcome)


def test_a_map_for_all_channels_couples_nothing() -> None:
    body = "p = Conv <pads = [1, 1, 1, 1]> (x, P) m0 = Conv(p, M) m = Sigmoid(m0) z = Mul(h, m)"
    outcome = prune_at_random(build(image(body, "float[6, 3, 3, 3] P, float[1, 6, 1, 1] M")))
    assert cut_keys(outcome) == {"A[0]", "P[0]"}
    assert_exact(outcome)


def test_grouped_queries_are_cut_together_with_their_key_and_value() -> None:
    outcome = prune_at_random(build(_DECODER))
    kinds = {outcome.analysis.by_atom[a].kind: s.count for a, s in outcome.decision.keeps.items()}
    assert kinds == {"kv-groups": 2, "neurons": 5}
    assert [outcome.size(w, 1) for w in "QKV"] == [16, 8, 8]
    assert_exact(outcome)
    assert error_at(outcome, x=normal(3, 8, 4)) < 1e-5


def test_query_heads_can_go_without_their_key_and_value() -> None:
    outcome = prune_at_random(build(_DECODER), structures=("heads",))
    assert [outcome.size(w, 1) for w in "QKV"] == [12, 12, 12]
    (kept,) = outcome.decision.keeps.values()
    assert kept.index.shape == (3, 1)  # another one for each key
    assert_exact(outcome)


def test_the_width_of_rotated_heads_is_cut_in_pairs() -> None:
    outcome = prune_at_random(build(_DECODER), structures=("head-dim",))
    assert [outcome.size(w, 1) for w in "QKV"] == [12, 6, 6]
    assert outcome.size("cos", 0) == 2
    assert_exact(outcome)


def test_a_vision_transformer_with_a_fused_projection() -> None:
    outcome = prune_at_random(build(_VIT, opset=20))
    kinds = {outcome.analysis.by_atom[a].kind: s.count for a, s in outcome.decision.keeps.items()}
    assert kinds == {"heads": 2, "neurons": 10}
    assert (outcome.size("QKV", 1), outcome.size("P", 0), outcome.size("U", 1)) == (24, 8, 10)
    assert_exact(outcome)
    assert error_at(outcome, x=normal(5, 3, 8, 8)) < 1e-5


@pytest.mark.parametrize(
    "text",
    [
        "net (float[n, 4] x) => (float[N, V] y) <float[4, 8] A> { y = MatMul(x, A) }",
        flat("z = Softmax(h)"),
        tokens("z = LayerNormalization(h, gain)", "float[12] gain"),
    ],
    ids=["one layer", "softmax", "norm"],
)
def test_nothing_to_prune_is_never_silent(text: str) -> None:
    outcome = prune_at_random(build(text))
    assert not outcome.decision.keeps
    assert outcome.decision.after == outcome.decision.before
    assert all(outcome.reason(g.key) for g in outcome.analysis.groups)


# The kinds of TinyNeuralNetwork's pruner: each row is an operator between two convolutions or layers.
_KINDS = {
    "PReLU": image("z = PRelu(h, slope)", "float[8, 1, 1] slope"),
    "pad": image(
        "p = Pad(h, a4) z = Conv(p, W)", "int64[8] a4 = {0, 0, 1, 1, 0, 0, 1, 1}, float[8, 8, 3, 3] W"
    ),
    "pool": image(
        "p = MaxPool <kernel_shape = [2, 2]> (h) q = AveragePool <kernel_shape = [2, 2]> (p) z = Relu(q)"
    ),
    "re-index": image(
        "p = Gather <axis = 1> (h, i) q = Slice(p, b, e, k) z = Concat <axis = 1> (q, p)",
        "int64[8] i = {4, 5, 6, 7, 0, 1, 2, 3}, int64[1] b = {4}, int64[1] e = {8}, int64[1] k = {1}",
        z=12,
    ),
    "re-index one by one": image(
        "p = Gather <axis = 1> (h, i) q = Slice(p, b, e, k) z = Concat <axis = 1> (q, p)",
        "int64[8] i = {4, 1, 6, 3, 0, 5, 2, 7}, int64[1] b = {4}, int64[1] e = {8}, int64[1] k = {1}",
        z=12,
    ),
    "chunk and stack": tokens(
        "p, q = Split <axis = 2, num_outputs = 2> (h) u = Unsqueeze(p, i) v = Unsqueeze(q, i) "
        "w = Concat <axis = 1> (u, v) z = ReduceSum <keepdims = 0> (w, i)",
        "int64[1] i = {1}",
        z=6,
    ),
    "matmul of two activations": tokens(
        "t = Transpose <perm = [0, 2, 1]> (h) s = MatMul(h, t) z = MatMul(s, h)"
    ),
    "norm": image(
        "n0 = BatchNormalization(h, gain, b, m, var) z = InstanceNormalization(n0, gain2, b2)",
        "float[8] gain, float[8] b, float[8] m, float[8] var, float[8] gain2, float[8] b2",
    ),
    "flatten of several axes": """net (float[n, 3, 4, 4] x) => (float[N, V] y) <float[6, 3, 3, 3] A, float[24, 9] W, float[9, 5] B>
        { h = Conv(x, A)  f = Flatten(h)  g = MatMul(f, W)  r = Relu(g)  y = MatMul(r, B) }""",
    "upsample and add": image(
        "d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (h) c = Conv(d, W) "
        'u = Resize <mode = "nearest"> (c, , s) z = Add(h, u)',
        "float[8, 8, 1, 1] W, float[4] s = {1, 1, 2, 2}",
    ),
}


@pytest.mark.parametrize("name", _KINDS)
def test_kinds_of_operators(name: str) -> None:
    outcome = prune_at_random(build(_KINDS[name]))
    assert_exact(outcome)
    assert outcome.decision.after.params < 0.8 * outcome.decision.before.params
    assert np.isfinite(outcome.equivalence.error)
