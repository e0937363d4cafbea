"""One initializer for values that only happen to be equal must tie nothing; true ties stay tied."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from graphprune.normalise.sharing import reshare
from graphprune.testing import prune_at_random
from tests.hard_cases.oracle import assert_exact, cut_keys
from tests.rules.building import build

# Biases, means and variances of a freshly initialised network are all zeros and ones: exporters merge them.
_RESNET = """net (float[n, 3, 8, 8] x) => (float[N, V] y)
    <float[8, 3, 3, 3] A, float[8, 8, 3, 3] C, float[8, 8, 3, 3] D, float[8, 8, 3, 3] E, float[8, 8, 3, 3] F, float[8, 5] H,
     float[8] zeros, float[8] ones>
    { c0 = Conv <pads = [1, 1, 1, 1]> (x, A, zeros)  b0 = BatchNormalization(c0, ones, zeros, zeros, ones)  h = Relu(b0)
      c1 = Conv <pads = [1, 1, 1, 1]> (h, C, zeros)  b1 = BatchNormalization(c1, ones, zeros, zeros, ones)  r1 = Relu(b1)
      c2 = Conv <pads = [1, 1, 1, 1]> (r1, D, zeros)  b2 = BatchNormalization(c2, ones, zeros, zeros, ones)  s = Add(h, b2)
      c3 = Conv <pads = [1, 1, 1, 1]> (s, E, zeros)  r3 = Relu(c3)
      c4 = Conv <pads = [1, 1, 1, 1]> (r3, F, zeros)  t = Add(s, c4)
      p = GlobalAveragePool(t)  q = Flatten(p)  y = MatMul(q, H) }"""
_NORMS = """net (float[n, t, 12] x) => (float[N, T, V] y)
    <float[12, 12] A, float[12, 12] C, float[12, 12] D, float[12, 5] H, float[12] zeros, float[12] ones>
    { a = MatMul(x, A)  a1 = Add(a, zeros)  n1 = LayerNormalization(a1, ones, zeros)
      c = MatMul(n1, C)  c1 = Add(c, zeros)  r = Relu(c1)
      d = MatMul(r, D)  d1 = Add(d, zeros)  s = Add(a1, d1)
      n2 = LayerNormalization(s, ones, zeros)  y = MatMul(n2, H) }"""
_MATRICES = """net (float[n, 6, 4] x) => (float[N, T, V] y)
    <float[4, 8] A, float[8, 8] C, float[8, 5] H, float[6, 8] zeros>
    { a = MatMul(x, A)  a1 = Add(a, zeros)  r = Relu(a1)  c = MatMul(r, C)  c1 = Add(c, zeros)  s = Sigmoid(c1)
      y = MatMul(s, H) }"""
_TIED = """net (int64[n, t] i) => (float[N, T, V] y)
    <float[20, 8] E, float[8, 12] A, float[12, 8] C>
    { h = Gather(E, i)  a = MatMul(h, A)  r = Relu(a)  c = MatMul(r, C)  s = Add(h, c)
      W = Transpose <perm = [1, 0]> (E)  y = MatMul(s, W) }"""
_ALBERT = """net (float[n, t, 8] x) => (float[N, T, V] y)
    <float[8, 8] P, float[8, 12] A, float[12] a, float[12, 8] C, float[8] c, float[8, 5] H>
    { h = MatMul(x, P)
      a1 = MatMul(h, A)  b1 = Add(a1, a)  r1 = Relu(b1)  c1 = MatMul(r1, C)  d1 = Add(c1, c)  s1 = Add(h, d1)
      a2 = MatMul(s1, A)  b2 = Add(a2, a)  r2 = Relu(b2)  c2 = MatMul(r2, C)  d2 = Add(c2, c)  s2 = Add(s1, d2)
      y = MatMul(s2, H) }"""


def test_zero_biases_and_default_norms_of_a_residual_network_tie_nothing() -> None:
    outcome = prune_at_random(build(_RESNET, zeros=np.zeros(8), ones=np.ones(8)))
    assert cut_keys(outcome) == {"A[0]", "C[0]", "E[0]"}
    # The widths of the two middle layers are chosen apart from each other and from the residual width.
    kept = [
        tuple(outcome.decision.keeps[outcome.analysis.by_key[k].atom].index) for k in ("A[0]", "C[0]", "E[0]")
    ]
    assert len(set(kept)) == 3
    assert_exact(outcome)


def test_shared_vectors_of_layer_norms_leave_the_hidden_width_free() -> None:
    outcome = prune_at_random(build(_NORMS, zeros=np.zeros(12), ones=np.ones(12)))
    assert cut_keys(outcome) == {"C[1]"}
    assert "normalised over" in outcome.analysis.by_key["A[1]"].approximate
    assert_exact(outcome)


def test_equal_zero_matrices_that_are_only_added_tie_nothing() -> None:
    outcome = prune_at_random(build(_MATRICES, zeros=np.zeros((6, 8))))
    assert cut_keys(outcome) == {"A[1]", "C[1]"}
    assert_exact(outcome)


def test_embedding_and_output_layer_stay_one_matrix_through_a_transpose() -> None:
    outcome = prune_at_random(build(_TIED))
    assert cut_keys(outcome) == {"E[1]", "A[1]"}
    assert_exact(outcome)
    assert sorted(outcome.pruned.graph.initializers) == ["A", "C", "E"]  # stored once
    assert len(outcome.pruned.graph.initializers["E"].uses()) == 2


def test_layers_that_share_all_weights_stay_shared() -> None:
    outcome = prune_at_random(build(_ALBERT))
    assert cut_keys(outcome) == {"P[1]", "A[1]"}
    assert_exact(outcome)
    reshare(outcome.pruned)
    uses = {n: len(v.uses()) for n, v in outcome.pruned.graph.initializers.items()}
    assert uses == {"P": 1, "A": 2, "a": 2, "C": 2, "c": 2, "H": 1}


def test_what_was_shared_and_is_still_equal_is_shared_again() -> None:
    model = build(_RESNET, zeros=np.zeros(8), ones=np.ones(8))
    outcome = prune_at_random(model)
    assert len(outcome.pruned.graph.initializers) > len(model.graph.initializer)
    before = ir.to_proto(outcome.pruned).ByteSize()
    reshare(outcome.pruned)
    # All groups keep four of eight, so that one vector of zeros and one of ones remain.
    assert len(outcome.pruned.graph.initializers) == len(model.graph.initializer)
    assert ir.to_proto(outcome.pruned).ByteSize() < before
