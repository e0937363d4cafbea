"""Arithmetic on constants is done; weights that are only moved about stay where they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.load import load
from graphprune.normalise import evaluate, normalise

Build = Callable[..., onnx.ModelProto]
Agree = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def test_weight_standardisation_in_small_steps(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 3, 8, 8] x) => (float[N, 6, 8, 8] y)
        {
          m = ReduceMean <axes = [1, 2, 3]> (w)
          d = Sub (w, m)
          q = Mul (d, d)
          v = ReduceMean <axes = [1, 2, 3]> (q)
          eps = Constant <value_float = 1e-5> ()
          e = Add (v, eps)
          s = Sqrt (e)
          n = Div (d, s)
          k = Mul (n, gain)
          y = Conv <pads = [1, 1, 1, 1]> (x, k, b)
        }""",
        w=(6, 3, 3, 3),
        gain=(6, 1, 1, 1),
        b=(6,),
    )
    result = agree(model, 1e-6)
    assert ops(result) == ["Conv"]
    assert list(result.graph.initializers) == ["b", "k"]
    assert result.graph.initializers["k"].shape == ir.Shape((6, 3, 3, 3))


def test_weight_standardisation_by_batch_norm(build: Build, agree: Agree, ops: Ops) -> None:
    """The form that timm exports: Reshape -> BatchNormalization(training) -> Reshape."""
    model = build(
        HEAD
        + """g (float[N, 3, 8, 8] x) => (float[N, 6, 6, 6] y)
        {
          flat = Reshape (w, one)
          std, m, v = BatchNormalization <training_mode = 1, epsilon = 1e-6> (flat, gain, bias, zero, ones)
          back = Reshape (std, shape)
          y = Conv (x, back)
        }""",
        w=(6, 3, 3, 3),
        one=np.array([1, 6, -1], np.int64),
        gain=(6,),
        bias=np.zeros(6, np.float32),
        zero=np.zeros(6, np.float32),  # not `bias` again: the runtime writes into it
        ones=np.ones(6, np.float32),
        shape=np.array([6, 3, 3, 3], np.int64),
    )
    result = agree(model, 1e-5)
    assert ops(result) == ["Reshape", "Conv"]
    assert sorted(result.graph.initializers) == ["shape", "std"]


def test_what_only_moves_weights_is_left_alone_but_for_a_turn(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 8] x) => (float[N, 4] y)
        {
          t = Transpose <perm = [1, 0]> (w)
          c = Concat <axis = 0> (t, v)
          r = Reshape (c, shape)
          k = Cast <to = 1> (r)
          i = Identity (k)
          y = MatMul (x, i)
        }""",
        w=(4, 6),
        v=(2, 4),
        shape=np.array([8, 4], np.int64),
    )
    result = agree(model)
    assert ops(result) == ["Concat", "Reshape", "Cast", "Identity", "MatMul"]
    assert sorted(result.graph.initializers) == ["shape", "v", "w"]


GATES = """g (float[T, N, 3] x) => (float[T, 1, N, 4] y)
{
  i = Slice (w, zero, four, zero)
  f = Slice (w, four, eight, zero)
  c = Slice (w, eight, twelve, zero)
  o = Slice (w, twelve, end, zero)
  w1 = Concat <axis = 0> (i, o, f, c)
  w2 = Unsqueeze (w1, zero)
  y = LSTM <hidden_size = 4> (x, w2, r)
}"""
PLACES = {
    name: np.array([place], np.int64)
    for name, place in {"zero": 0, "four": 4, "eight": 8, "twelve": 12, "end": 16}.items()
}


def test_weight_taken_to_pieces_and_put_together_is_one(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(HEAD + GATES, w=(16, 3), r=(1, 16, 4), **PLACES)
    result = agree(model)
    assert ops(result) == ["LSTM"]
    assert {n: tuple(v.shape) for n, v in result.graph.initializers.items()} == {
        "w": (1, 16, 3),
        "r": (1, 16, 4),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("(i, o, f, c)", "(i, o, f, f)"),  # a part is missing, another is there twice
        ("w2 = Unsqueeze (w1, zero)", "w2 = Unsqueeze (w1, zero) z = Transpose(w)"),
        ("w2 = Unsqueeze (w1, zero)", "w2 = Unsqueeze (w1, zero) z = Relu(i)"),
    ],
)
def test_weight_of_which_more_is_needed_stays(
    before: str, after: str, build: Build, agree: Agree, ops: Ops
) -> None:
    text = GATES.replace(before, after)
    if "z = " in after:
        text = text.replace("[T, 1, N, 4] y)", "[T, 1, N, 4] y, float[A, B] z)")
    result = agree(build(HEAD + text, w=(16, 3), r=(1, 16, 4), **PLACES))
    assert "Concat" in ops(result)


def test_tie_through_transpose_survives(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 8] x) => (float[N, 8] y)
        { a = MatMul (x, w) t = Transpose <perm = [1, 0]> (w) y = MatMul (a, t) }""",
        w=(8, 4),
    )
    result = agree(model)
    assert ops(result) == ["MatMul", "Transpose", "MatMul"]
    assert len(result.graph.initializers["w"].uses()) == 2


def test_weight_that_is_needed_itself_is_not_stored_twice(build: Build, agree: Agree, ops: Ops) -> None:
    text = (
        HEAD
        + """g (float[N, 200] x) => (float[N, 200] y)
        { a = MatMul (x, w) s = Mul (w, half) t = Transpose <perm = [1, 0]> (s) y = MatMul (a, t) }"""
    )
    half = np.array(0.5, np.float32)
    large = agree(build(text, w=(200, 200), half=half))
    assert ops(large) == ["MatMul", "Mul", "Transpose", "MatMul"]
    small = agree(build(text.replace("200", "20"), w=(20, 20), half=half))
    assert ops(small) == ["MatMul", "MatMul"]


def test_same_arithmetic_written_twice_stays_one_weight(build: Build, agree: Agree) -> None:
    model = build(
        HEAD
        + """g (float[N, 200] x) => (float[N, 200] y)
        { s1 = Mul (w, half) a = MatMul (x, s1) s2 = Mul (w, half) y = MatMul (a, s2) }""",
        w=(200, 200),
        half=np.array(0.5, np.float32),
    )
    result = agree(model, 1e-4)
    assert list(result.graph.initializers) == ["s1"]


def test_low_rank_update_is_merged(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 32] x) => (float[N, 32] y)
        { d = MatMul (u, v) m = Add (w, d) y = MatMul (x, m) }""",
        w=(32, 32),
        u=(32, 2),
        v=(2, 32),
    )
    assert ops(agree(model, 1e-6)) == ["MatMul"]


def test_shape_arithmetic(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 12] x) => (float[N, 4, 3] y)
        {
          s = Shape (w)
          one = Constant <value_int = 1> ()
          d = Gather <axis = 0> (s, one)
          four = Constant <value_int = 4> ()
          q = Div (d, four)
          axes = Constant <value_ints = [0]> ()
          q1 = Unsqueeze (q, axes)
          f1 = Unsqueeze (four, axes)
          minus = Constant <value_ints = [-1]> ()
          target = Concat <axis = 0> (minus, f1, q1)
          h = MatMul (x, w)
          y = Reshape (h, target)
        }""",
        w=(12, 12),
    )
    result = agree(model)
    assert ops(result) == ["MatMul", "Reshape"]
    target = result.graph.initializers["target"].const_value
    assert target is not None
    assert target.numpy().tolist() == [-1, 4, 3]


def test_shape_of_a_large_weight(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 200] x) => (float[N, 200] y)
        {
          t = Transpose <perm = [1, 0]> (w)
          s = Shape <start = 1> (t)
          f = Cast <to = 1> (s)
          r = Sqrt (f)
          h = MatMul (x, t)
          y = Div (h, r)
        }""",
        w=(200, 200),
    )
    result = agree(model, 1e-6)
    assert ops(result) == ["MatMul", "Div"]


def test_large_results_of_few_numbers_are_not_stored(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[300, 300] x) => (float[300, 300] y)
        {
          ones = ConstantOfShape <value = float[1] {1.0}> (shape)
          mask = Trilu <upper = 0> (ones)
          half = Mul (mask, c)
          y = Mul (x, half)
        }""",
        shape=np.array([300, 300], np.int64),
        c=np.array(0.5, np.float32),
    )
    result = agree(model)
    assert ops(result) == ["ConstantOfShape", "Trilu", "Mul", "Mul"]


@pytest.mark.parametrize(
    "line",
    [
        "r = Expand (c, many)",
        "r = Tile (c1, many1)",
        "r = ConstantOfShape (many)",
    ],
)
def test_giant_results_are_not_even_computed(
    build: Build, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(
        HEAD
        + "g (float[N] x) => (float[N] y) { "
        + line
        + " n = Neg (r) t = ReduceSum <keepdims = 0> (n) y = Mul (x, t) }",
        c=np.array(2.0, np.float32),
        c1=np.array([2.0], np.float32),
        many=np.array([10**6, 10**6], np.int64),
        many1=np.array([10**12], np.int64),
    )
    run: list[str] = []
    monkeypatch.setattr("graphprune.normalise.fold.evaluate", lambda node, *rest: run.append(node.op_type))
    assert len(normalise(load(model).model).graph) == 4
    assert run == []


def test_giant_range_is_not_even_computed(build: Build) -> None:
    model = build(
        HEAD + "g (float[N] x) => (float[N] y) { r = Range (a, b, c) t = ReduceSum (r) y = Mul (x, t) }",
        a=np.array(0.0, np.float32),
        b=np.array(1e12, np.float32),
        c=np.array(1.0, np.float32),
    )
    assert len(normalise(load(model).model).graph) == 3


@pytest.mark.parametrize(
    "line",
    [
        "r = RandomNormalLike (c)",
        "r = RandomUniformLike (c)",
        "r = Bernoulli (p)",
        "r, mask = Dropout (c, half, yes)",
        "r = RandomNormal <shape = [4]> ()",
    ],
)
def test_random_numbers_stay_random(build: Build, ops: Ops, line: str) -> None:
    model = build(
        HEAD + "g (float[4] x) => (float[4] y) { " + line + " n = Neg (r) y = Mul (x, n) }",
        c=(4,),
        p=np.full(4, 0.5, np.float32),
        half=np.array(0.5, np.float32),
        yes=np.array(True),
    )
    assert len(ops(normalise(load(model).model))) == 3


def test_quantized_weights_stay_quantized(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD
        + """g (float[N, 8] x) => (float[N, 4] y)
        { f = DequantizeLinear <axis = 1> (w, s) h = Mul (f, c) y = MatMul (x, h) }""",
        w=np.arange(-16, 16, dtype=np.int8).reshape(8, 4),
        s=np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        c=np.array(2.0, np.float32),
    )
    assert ops(agree(model)) == ["DequantizeLinear", "Mul", "MatMul"]


def test_result_that_is_an_output_stays_a_node(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(HEAD + "g (float[4] x) => (float[4] y, float[4] n) { n = Neg (c) y = Mul (x, n) }", c=(4,))
    assert ops(agree(model)) == ["Neg", "Mul"]


def test_overridable_initializers_are_not_constant(build: Build, agree: Agree, ops: Ops) -> None:
    text = "g (float[4] x, float[4] c) => (float[4] y) { n = Neg (c) y = Mul (x, n) }"
    model = build(HEAD + text, c=(4,))
    result = agree(model)
    assert ops(result) == ["Neg", "Mul"]
    agree(model, c=np.ones(4, np.float32))
    old = build(HEAD.replace("8", "3", 1).replace("17", "9") + text, c=(4,))
    assert ops(agree(old)) == ["Constant", "Mul"][1:]


def test_half_precision(build: Build, agree: Agree, ops: Ops) -> None:
    model = build(
        HEAD + "g (float16[N, 4] x) => (float16[N, 4] y) { n = Mul (w, s) y = MatMul (x, n) }",
        w=np.arange(16, dtype=np.float16).reshape(4, 4),
        s=np.array(0.5, np.float16),
    )
    result = agree(model, 1e-3)
    assert ops(result) == ["MatMul"]
    assert result.graph.initializers["n"].dtype == ir.DataType.FLOAT16


def test_result_read_by_a_body_keeps_its_name(build: Build, agree: Agree) -> None:
    model = build(
        HEAD
        + """g (float[4] x, bool b) => (float[4] y)
        {
          n = Neg (c)
          y = If (b) <
            then_branch = yes () => (float[4] t) { t = Mul (x, n) },
            else_branch = no () => (float[4] e) { e = Add (x, n) }
          >
        }""",
        c=(4,),
    )
    for choice in (True, False):
        result = agree(model, b=np.array(choice))
    assert list(result.graph.initializers) == ["n"]


def test_operator_that_cannot_be_run_is_left(build: Build, ops: Ops) -> None:
    model = build(
        HEAD.replace('"" : 17', '"" : 17, "my" : 1')
        + "g (float[4] x) => (float[4] y) { a = my.Op (c) b = NoSuchOp (c) d = Add (a, b) y = Mul (x, d) }",
        c=(4,),
    )
    assert ops(normalise(load(model).model)) == ["Op", "NoSuchOp", "Add", "Mul"]


def test_without_onnxruntime_the_reference_evaluator_does_it(
    build: Build, agree: Agree, ops: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "_onnxruntime", lambda: None)
    model = build(HEAD + "g (float[4] x) => (float[4] y) { n = Neg (c) s = Exp (n) y = Mul (x, s) }", c=(4,))
    assert ops(agree(model, 1e-6)) == ["Mul"]


def test_long_ladder_of_constants_is_quick(build: Build, ops: Ops) -> None:
    lines = " ".join(f"c{i + 1} = Concat <axis = 0> (c{i}, c{i})" for i in range(40))
    model = build(
        HEAD
        + "g (float[N] x) => (float[N] y) { "
        + lines
        + " m = ReduceMean <keepdims = 0> (c40) y = Mul (x, m) }",
        c0=np.ones(2, np.float32),
    )
    assert len(ops(normalise(load(model).model))) == 42
