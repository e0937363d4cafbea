"""Whole layers: which branches are found, and what is left of a graph without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.analysis import Analysis, CostModel
from graphprune.decide import Options, decide
from graphprune.dims import Keeps, Slots
from graphprune.testing import Outcome, analysed, prune_slots
from tests.hard_cases.oracle import ops
from tests.rules.building import build

NOTHING = Slots(np.zeros(0, np.int64))
ATTENTION = """
    q = MatMul({x}, Q)  k = MatMul({x}, K)  v = MatMul({x}, V)
    q4 = Reshape(q, split)  k4 = Reshape(k, split)  v4 = Reshape(v, split)
    qh = Transpose <perm = [0, 2, 1, 3]> (q4)  kh = Transpose <perm = [0, 2, 3, 1]> (k4)
    vh = Transpose <perm = [0, 2, 1, 3]> (v4)
    s = MatMul(qh, kh)  p = Softmax(s)  o = MatMul(p, vh)  ot = Transpose <perm = [0, 2, 1, 3]> (o)
    size = Shape(ot)  batch = Gather(size, zero)  steps = Gather(size, one)
    target = Concat <axis = 0> (batch, steps, width)
    om = Reshape(ot, target)  {a} = MatMul(om, O)
"""
WEIGHTS = """float[8, 8] Q, float[8, 8] K, float[8, 8] V, float[8, 8] O, float[8] gain1, float[8] b1,
    int64[4] split = {0, 0, 2, 4}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] width = {8},
    float[8, 12] M, float[12] m, float[12, 8] N, float[8] n, float[8] gain2, float[8] b2, float[6, 8] E, float[8, 5] H"""
PRE_NORM = (
    f"""net (float[B, S, 6] in) => (float[B, S, 5] y) <{WEIGHTS}>
    {{ x = MatMul(in, E)  g = LayerNormalization(x, gain1, b1) """
    + ATTENTION.format(x="g", a="a")
    + """ x1 = Add(x, a)  u = LayerNormalization(x1, gain2, b2)  f = MatMul(u, M)  fb = Add(f, m)  r = Relu(fb)
      d = MatMul(r, N)  db = Add(d, n)  x2 = Add(db, x1)  y = MatMul(x2, H) }"""
)
POST_NORM = (
    f"""net (float[B, S, 6] in) => (float[B, S, 5] y) <{WEIGHTS}>
    {{ x = MatMul(in, E) """
    + ATTENTION.format(x="x", a="a")
    + """ x1 = Add(a, x)  g = LayerNormalization(x1, gain1, b1)  f = MatMul(g, M)  fb = Add(f, m)  r = Relu(fb)
      d = MatMul(r, N)  db = Add(d, n)  x2 = Add(db, g)  u = LayerNormalization(x2, gain2, b2)  y = MatMul(u, H) }"""
)
PARALLEL = (
    f"""net (float[B, S, 6] in) => (float[B, S, 5] y) <{WEIGHTS}>
    {{ x = MatMul(in, E)  g = LayerNormalization(x, gain1, b1) """
    + ATTENTION.format(x="g", a="a")
    + """ f = MatMul(g, M)  fb = Add(f, m)  r = Relu(fb)  d = MatMul(r, N)  db = Add(d, n)
      both = Add(a, db)  x2 = Add(x, both)  y = MatMul(x2, H) }"""
)
NORMED = "float[8] gain{0}, float[8] s{0}, float[8] u{0}, float[8] var{0}"
RESIDUAL_CONV = f"""net (float[n, 3, 8, 8] in) => (float[n, 5] y)
    <float[8, 3, 3, 3] W, float[8, 8, 3, 3] A, float[8, 8, 3, 3] B, float[6, 8, 1, 1] C, float[6, 6, 3, 3] D,
     float[8, 6, 1, 1] F, float[8] f, {NORMED.format(1)}, {NORMED.format(2)}, float[8, 5] H>
    {{ w = Conv <pads = [1, 1, 1, 1]> (in, W)  x = Relu(w)
      a = Conv <pads = [1, 1, 1, 1]> (x, A)  an = BatchNormalization(a, gain1, s1, u1, var1)  ar = Relu(an)
      b = Conv <pads = [1, 1, 1, 1]> (ar, B)  bn = BatchNormalization(b, gain2, s2, u2, var2)
      t = Add(bn, x)  x1 = Relu(t)
      c = Conv(x1, C)  cr = Relu(c)  d = Conv <pads = [1, 1, 1, 1]> (cr, D)  dr = Relu(d)  e = Conv(dr, F, f)
      t2 = Add(e, x1)  x2 = Relu(t2)  p = GlobalAveragePool(x2)  q = Flatten(p)  y = MatMul(q, H) }}"""
CONVNEXT = """net (float[n, 3, h, w] in) => (float[n, 5] y)
    <float[8, 3, 3, 3] W, float[8, 1, 3, 3] D, float[8] gain, float[8] s, float[8, 16] A, float[16] a,
     float[16, 8] B, float[8] b, float[8] scale, float[8, 5] H>
    { x = Conv <pads = [1, 1, 1, 1]> (in, W)  d = Conv <group = 8, pads = [1, 1, 1, 1]> (x, D)
      t = Transpose <perm = [0, 2, 3, 1]> (d)  g = LayerNormalization(t, gain, s)  u = MatMul(g, A)  ua = Add(u, a)
      e = Relu(ua)  v = MatMul(e, B)  vb = Add(v, b)  vs = Mul(vb, scale)  back = Transpose <perm = [0, 3, 1, 2]> (vs)
      drop = Identity(back)  x1 = Add(x, drop)  p = GlobalAveragePool(x1)  q = Flatten(p)  y = MatMul(q, H) }"""
GATED = """net (float[n, 3, 8, 8] in) => (float[n, 5] y)
    <float[8, 3, 3, 3] W, float[8, 8, 3, 3] A, float[8] a, float[4, 8, 1, 1] S, float[8, 4, 1, 1] T, float[8] t, float[8, 5] H>
    { w = Conv <pads = [1, 1, 1, 1]> (in, W)  x = Relu(w)  b = Conv <pads = [1, 1, 1, 1]> (x, A, a)
      pool = GlobalAveragePool(b)  s = Conv(pool, S)  sr = Relu(s)  e = Conv(sr, T, t)  g = Sigmoid(e)
      m = Mul(b, g)  x1 = Add(m, x)  p = GlobalAveragePool(x1)  q = Flatten(p)  y = MatMul(q, H) }"""
WINDOWS = """net (float[n, 4, 4, 6] in) => (float[n, 5] y)
    <float[6, 8] E, float[8, 12] M, float[12, 8] N, float[8] b, int64[6] cut = {-1, 2, 2, 2, 2, 8}, int64[3] rows = {-1, 4, 8},
     int64[6] paste = {-1, 2, 2, 2, 2, 8}, int64[4] whole = {-1, 4, 4, 8}, int64[1] zero = {0}, int64[1] one = {1},
     int64[1] end = {9}, int64[1] axis = {1}, float[8, 5] H>
    { x = MatMul(in, E)  a = Reshape(x, cut)  at = Transpose <perm = [0, 1, 3, 2, 4, 5]> (a)  r = Reshape(at, rows)
      f = MatMul(r, M)  fr = Relu(f)  d = MatMul(fr, N)  db = Add(d, b)
      g = Reshape(db, paste)  gt = Transpose <perm = [0, 1, 3, 2, 4, 5]> (g)  w = Reshape(gt, whole)
      first = Slice(w, zero, one, axis)  rest = Slice(w, one, end, axis)  rolled = Concat <axis = 1> (rest, first)
      x1 = Add(x, rolled)  p = ReduceMean <keepdims = 0> (x1, axes)  y = MatMul(p, H) }""".replace(
    "int64[1] axis = {1},", "int64[1] axis = {1}, int64[2] axes = {1, 2},"
)
MODELS = {
    "pre-norm": (PRE_NORM, 2),
    "post-norm": (POST_NORM, 2),
    "parallel": (PARALLEL, 2),
    "resnet": (RESIDUAL_CONV, 2),
    "convnext": (CONVNEXT, 1),
    "gated": (GATED, 1),
    "windows": (WINDOWS, 1),
}


def remove(model: onnx.ModelProto, some: Sequence[int] | None = None, **more: Slots) -> Outcome:
    """The outcome without some layers (all by default), counted from the front, and with other slots cut."""
    normal, analysis = analysed(model)
    layers = [x for x in analysis.layers if not x.frozen]
    keeps = {x.atom: NOTHING for k, x in enumerate(layers) if some is None or k in some}
    keeps |= {analysis.by_key[key].atom: slots for key, slots in more.items()}
    return held_against(normal, analysis, keeps)


def held_against(normal: ir.Model, analysis: Analysis, keeps: Keeps) -> Outcome:
    return prune_slots(normal, analysis, keeps, decide(analysis, Options(criterion="random")))


def assert_equal(outcome: Outcome) -> None:
    assert outcome.equivalence.status == "equal", outcome.equivalence
    assert outcome.equivalence.change > 1e-3
    onnx.checker.check_model(ir.to_proto(outcome.pruned), full_check=True)


def parameters(outcome: Outcome) -> int:
    """Elements of the real weights that are left."""
    stored = [v.const_value for v in outcome.pruned.graph.initializers.values()]
    return sum(int(t.size) for t in stored if t is not None and t.dtype.is_floating_point())


@pytest.mark.parametrize("name", MODELS)
def test_without_any_of_its_layers_a_model_is_the_masked_original(name: str) -> None:
    text, count = MODELS[name]
    model = build(
        text, **({"scale": np.linspace(0.5, 1.5, 8, dtype=np.float32)} if name == "convnext" else {})
    )
    assert len(analysed(model)[1].layers) == count
    for some in [[k] for k in range(count)] + ([list(range(count))] if count > 1 else []):
        assert_equal(remove(model, some))


@pytest.mark.parametrize("name", MODELS)
def test_costs_are_those_of_the_file(name: str) -> None:
    outcome = remove(build(MODELS[name][0]))
    removed = frozenset(x.atom for x in outcome.analysis.layers)
    costs = CostModel(outcome.analysis)
    integers = sum(w.count for w in outcome.analysis.weights.values() if not w.real)
    gone = sum(
        w.count
        for w in outcome.analysis.weights.values()
        if not w.real and w.name in outcome.analysis.dead(removed)
    )
    assert costs.cost(dict.fromkeys(removed, 0)).params - (integers - gone) == parameters(outcome)
    assert costs.cost(dict.fromkeys(removed, 0)).macs < costs.cost().macs


def test_shapes_read_at_run_time_go_with_the_branch() -> None:
    assert "Shape" in ops(remove(build(PRE_NORM), [1]))
    assert ops(remove(build(PRE_NORM))) == ["MatMul", "Add", "MatMul"]


def test_a_branch_without_bias_leaves_nothing_behind() -> None:
    assert (
        ops(remove(build(PRE_NORM), [0])).count("Add") == 3
    )  # biases of the perceptron, and its own addition


def test_both_parallel_branches_leave_one_constant() -> None:
    assert ops(remove(build(PARALLEL))) == ["MatMul", "Add", "MatMul"]


def test_what_only_the_layer_has_goes_and_what_others_read_stays() -> None:
    left = remove(build(PARALLEL), [0])
    assert "LayerNormalization" in ops(left)  # the perceptron reads it too
    assert "LayerNormalization" not in ops(remove(build(PARALLEL)))


def test_widths_of_the_stream_and_of_other_layers_are_cut_as_well() -> None:
    model = build(RESIDUAL_CONV)
    normal, analysis = analysed(model)
    stream = next(g for g in analysis.groups if g.size == 8 and not g.frozen and len(g.members) > 6)
    inner = next(g for g in analysis.groups if g.size == 6 and not g.frozen)
    keeps = {
        analysis.layers[0].atom: NOTHING,
        stream.atom: Slots(np.array([0, 2, 3, 6])),
        inner.atom: Slots(np.array([1, 2, 5])),
    }
    outcome = held_against(normal, analysis, keeps)
    assert_equal(outcome)
    cost = CostModel(analysis).cost({a: s.count for a, s in keeps.items()})
    assert cost.params == parameters(outcome)


def test_groups_inside_a_layer_go_with_it() -> None:
    _, analysis = analysed(build(PRE_NORM))
    attention, perceptron = (frozenset({x.atom}) for x in analysis.layers)
    kinds = [
        sorted(analysis.by_atom[a].kind for a in analysis.inner_groups(x)) for x in (attention, perceptron)
    ]
    assert kinds[1] == ["neurons"]
    assert "heads" in kinds[0]
    assert analysis.inner_groups(frozenset()) == frozenset()


SHARED = """net (float[B, 6] in) => (float[B, 5] y)
    <float[6, 8] E, float[8, 12] A, float[8, 10] B1, float[12, 8] C, float[10, 12] D, float[8, 5] H>
    { x = MatMul(in, E)  a = MatMul(x, A)  ar = Relu(a)  c = MatMul(ar, C)  x1 = Add(x, c)
      b = MatMul(x1, B1)  bt = MatMul(b, D)  br = Relu(bt)  d = MatMul(br, C)  x2 = Add(x1, d)  y = MatMul(x2, H) }"""


def test_branches_that_share_their_last_weight_go_together() -> None:
    outcome = remove(build(SHARED))
    (layer,) = outcome.analysis.layers
    assert len(layer.ends) == 2
    assert_equal(outcome)
    assert ops(outcome) == ["MatMul", "MatMul"]


def test_a_weight_that_something_else_reads_keeps_the_layer() -> None:
    text = SHARED.replace(
        "y = MatMul(x2, H)", "z = MatMul(ar, C)  s = Sigmoid(z)  m = Mul(x2, s)  y = MatMul(m, H)"
    )
    (layer,) = analysed(build(text))[1].layers
    assert "is read by" in layer.frozen


STRIDED = """net (float[n, 3, 8, 8] in) => (float[n, 5] y)
    <float[8, 3, 3, 3] W, float[10, 8, 3, 3] A, float[10, 10, 3, 3] B, float[10, 8, 1, 1] S, float[10, 5] H>
    { w = Conv <pads = [1, 1, 1, 1]> (in, W)  x = Relu(w)  a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, A)
      ar = Relu(a)  b = Conv <pads = [1, 1, 1, 1]> (ar, B)  s = Conv <strides = [2, 2]> (x, S)
      t = Add(b, s)  x1 = Relu(t)  p = GlobalAveragePool(x1)  q = Flatten(p)  y = MatMul(q, H) }"""


def test_a_branch_that_changes_the_shape_stays() -> None:
    layers = analysed(build(STRIDED))[1].layers
    assert len(layers) == 2  # both sides have weights
    assert all("nothing by-passes it" in x.frozen for x in layers)


def test_a_branch_that_something_inside_reads_is_no_layer() -> None:
    text = (
        SHARED.replace("d = MatMul(br, C)", "e = Add(br, ar)  d = MatMul(e, C)")
        .replace("float[12, 8] C", "float[12, 8] C, float[12, 8] G")
        .replace("c = MatMul(ar, C)", "c = MatMul(ar, G)")
    )
    outcome = remove(build(text))  # ar feeds both: the second branch may go, then the first
    assert_equal(outcome)


def test_a_constant_that_changes_with_the_input_size_keeps_the_layer() -> None:
    padded = CONVNEXT.replace("drop = Identity(back)", "drop = Conv <pads = [1, 1, 1, 1]> (back, K)")
    padded = padded.replace("float[8, 5] H", "float[8, 8, 3, 3] K, float[8, 5] H")
    # The convolution is the last operator now, so what it gives without weights is zero everywhere.
    assert [x.frozen for x in analysed(build(padded))[1].layers] == [""]
    gated = GATED.replace("8, 8] in", "h, w] in").replace(
        "x1 = Add(m, x)", "mm = Conv <pads = [1, 1, 1, 1]> (m, L)  both = Mul(m, mm)  x1 = Add(both, x)"
    )
    gated = gated.replace("float[8, 5] H", "float[8, 8, 3, 3] L, float[8, 5] H")
    (layer,) = analysed(build(gated))[1].layers
    assert "at every size" in layer.frozen


def test_who_reads_only_the_size_of_a_branch_does_not_hold_it() -> None:
    text = """net (float[B, S, 6] in) => (float[B, S, 5] y)
        <float[6, 8] E, float[8, 12] A, float[12, 8] C, float[8] c, int64[2] flat = {-1, 8}, float[8, 5] H>
        { x = MatMul(in, E)  size = Shape(x)  r = Reshape(x, flat)  a = MatMul(r, A)  ar = Relu(a)  d = Gemm(ar, C, c)
          same = Shape(x)  many = Size(d)  one = Div(many, many)  target = Mul(same, one)  t = Reshape(d, target)
          x1 = Add(x, t)  y = MatMul(x1, H) }"""
    outcome = remove(build(text))
    assert_equal(outcome)
    assert ops(outcome) == ["MatMul", "Add", "MatMul"]


def test_a_sum_that_reads_the_inside_of_its_summand_has_no_layer() -> None:
    text = SHARED.replace("x1 = Add(x, c)", "t = Tanh(c)  ct = Add(c, t)  x1 = Add(x, ct)")
    text = text.replace("d = MatMul(br, C)", "d = MatMul(br, G)").replace(
        "float[12, 8] C", "float[12, 8] C, float[12, 8] G"
    )
    assert [x.weight for x in analysed(build(text))[1].layers] == ["G"]


NORMED_BEHIND = """net (float[B, 6] in) => (float[B, 5] y)
    <float[6, 8] E, float[8, 12] A, float[12, 8] C, float two = {2}, float eps = {0.00001}, int64[1] last = {-1}, float[8, 5] H>
    { x = MatMul(in, E)  a = MatMul(x, A)  ar = Relu(a)  d = MatMul(ar, C)  p = Pow(d, two)
      m = ReduceMean(p, last)  e = Add(m, eps)  r = Sqrt(e)  n = Div(d, r)  x1 = Add(x, n)  y = MatMul(x1, H) }"""


def test_a_norm_behind_a_branch_is_saved_by_its_small_constant() -> None:
    outcome = remove(build(NORMED_BEHIND))
    assert_equal(outcome)
    assert ops(outcome) == ["MatMul", "MatMul"]
    assert not analysed(build(NORMED_BEHIND.replace("r = Sqrt(e)", "r = Sqrt(m)")))[1].layers


def test_the_output_of_the_graph_may_be_the_sum() -> None:
    text = """net (float[B, 8] in) => (float[B, 8] y) <float[8, 8] E, float[8, 12] A, float[12, 8] C, float[8] c>
        { x = MatMul(in, E)  a = MatMul(x, A)  ar = Relu(a)  d = MatMul(ar, C)  y = Add(x, d) }"""
    outcome = remove(build(text))
    assert_equal(outcome)
    assert [v.name for v in outcome.pruned.graph.outputs] == ["y"]


def test_half_precision_and_quantised_weights() -> None:
    text = """net (float[B, 8] in) => (float[B, 5] y)
        <float[8, 8] E, float[8, 12] A, int8[12, 8] C, float scale = {0.02}, int8 zero = {3}, float[8] c, float[8, 5] H>
        { x = MatMul(in, E)  a = MatMul(x, A)  ar = Relu(a)  w = DequantizeLinear(C, scale, zero)  d = MatMul(ar, w)
          db = Add(d, c)  x1 = Add(x, db)  y = MatMul(x1, H) }"""
    values = np.random.default_rng(1).integers(-100, 100, (12, 8)).astype(np.int8)
    assert_equal(remove(build(text, C=values)))


@pytest.mark.parametrize("name", ["vit", "textformer", "resnet_se"])
def test_bundled_models_without_some_of_their_layers(name: str) -> None:
    for some in ([0], [1, 2]):
        outcome = remove(onnx.load(f"models/{name}.onnx"), some)
        assert_equal(outcome)
