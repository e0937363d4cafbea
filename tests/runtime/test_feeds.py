import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.errors import ModelError
from graphprune.runtime import choose_sizes, free_dimensions, open_session, random_feeds

TOKENS = """g (int64[batch, seq] ids, int64[batch, seq] attention_mask, int64[batch, seq] kinds)
  => (float[batch, seq, 4] y) {
    words = Gather(table, ids)
    kind32 = Cast <to = 6> (kinds)
    kind = Gather(few, kind32)
    sum = Add(words, kind)
    keep = Cast <to = 1> (attention_mask)
    axes = Constant <value = int64[1] {2}> ()
    wide = Unsqueeze(keep, axes)
    y = Mul(sum, wide)
}"""


def _table(rows: int) -> np.ndarray:
    return np.ones((rows, 4), np.float32)


def test_free_dimensions_by_name_and_by_place(build):
    model = build(
        "g (float[batch, 3, h, w] x, float[batch, ?, 7] z, float[2] c) => (float[batch] y) {y = Relu(x)}"
    )
    assert free_dimensions(model) == ["batch", "h", "w", ("z", 1)]


def test_question_marks_and_negative_sizes_are_no_names(build):
    model = build("g (float[a, 3] x) => (float[a] y) { y = Relu(x) }")
    model.graph.inputs[0].shape = ir.Shape(["?", -1])
    assert free_dimensions(model) == [("x", 0), ("x", 1)]


def test_arithmetic_on_names_follows(build):
    model = build("g (float[past, 2] x, int64[total] m) => (float[past, 2] y) { y = Relu(x) }")
    model.graph.inputs.append(ir.val("new", ir.DataType.INT64, ["seq"]))
    model.graph.inputs[1].shape = ir.Shape(["past + seq"])
    assert free_dimensions(model) == ["past", "seq"]
    feeds = random_feeds(model, {"past": 5, "seq": 3}, 0)
    assert feeds["m"].shape == (8,)


def test_a_name_with_dots_is_a_name(build):
    model = build("g (float[a] x) => (float[a] y) { y = Relu(x) }")
    model.graph.inputs[0].shape = ir.Shape(["p2o.DynamicDimension.0"])
    assert free_dimensions(model) == ["p2o.DynamicDimension.0"]


def test_initializers_that_are_inputs_are_not_fed(build):
    header = '<ir_version: 3, opset_import: ["" : 9]>'
    graph = "g (float[n, 4] x, float[4, 3] w) => (float[n, 3] y) { y = MatMul(x, w) }"
    model = build(header + graph, w=np.ones((4, 3), np.float32))
    assert free_dimensions(model) == ["n"]
    assert list(random_feeds(model, {"n": 2}, 0)) == ["x"]


def test_indices_stay_inside_their_tables(build):
    model = build(TOKENS, table=_table(5), few=_table(2))
    feeds = random_feeds(model, {"batch": 40, "seq": 30}, 0)
    assert {int(number) for number in np.unique(feeds["ids"])} == {0, 1, 2, 3, 4}
    assert set(np.unique(feeds["kinds"])) == {0, 1}


def test_masks_are_mostly_ones_and_begin_with_one(build):
    feeds = random_feeds(build(TOKENS, table=_table(5), few=_table(2)), {"batch": 40, "seq": 30}, 0)
    mask = feeds["attention_mask"]
    assert mask.dtype == np.int64
    assert set(np.unique(mask)) == {0, 1}
    assert mask[:, 0].all()
    assert 0.8 < mask.mean() < 0.97


@pytest.mark.parametrize(
    "read",
    [
        "i = Reshape(ids, flat) y = Gather(table, i)",
        "i = Slice(ids, zero, one) j = Unsqueeze(i, one) y = Gather(table, j)",
        "i = Transpose(ids) j = Concat <axis = 0> (i, i) y = Gather(table, j)",
        "i = Where(yes, ids, ids) y = Gather(table, i)",
        "t = Transpose(turned) y = Gather(t, ids)",
        "c = Cast <to = 1> (half) y = Gather(c, ids)",
        "d = Constant <value = int64 {6}> () y = OneHot(ids, d, ends)",
        "y = Gather <axis = 1> (turned, ids)",
        "y = GatherElements(flatter, ids)",
        "s = Unsqueeze(ids, last) e = Equal(s, symbols) y = Cast <to = 1> (e)",
        "s = Unsqueeze(ids, last) q = Shape(s) w = Expand(symbols, q) e = Equal(w, s) y = Cast <to = 1> (e)",
    ],
)
def test_the_bound_is_found_behind_other_operators(build, read):
    weights = {
        "table": _table(6),
        "turned": _table(6).T.copy(),
        "half": _table(6).astype(np.float16),
        "flatter": np.ones(6, np.float32),
        "flat": np.array([-1]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "yes": np.array(True),
        "ends": np.array([0, 1], np.float32),
        "last": np.array([-1]),
        "symbols": np.arange(6)[None],
    }
    model = build(f"g (int64[n] ids) => (float y) {{ {read} }}", **weights)
    ids = random_feeds(model, {"n": 500}, 0)["ids"]
    assert set(np.unique(ids)) == set(range(6))


def test_the_smallest_of_several_tables_counts(build):
    model = build(
        "g (int64[n] ids) => (float[n, 4] y) { a = Gather(big, ids) b = Gather(small, ids) y = Add(a, b) }",
        big=_table(100),
        small=_table(3),
    )
    assert random_feeds(model, {"n": 500}, 0)["ids"].max() == 2


def test_an_index_into_another_input_stays_inside_it(build):
    model = build("g (float[n, 4] x, int64[m] at) => (float[m, 4] y) { y = Gather(x, at) }")
    assert random_feeds(model, {"n": 9, "m": 500}, 0)["at"].max() == 8


def test_indices_used_only_inside_a_branch(build):
    model = build(
        """g (bool pick, int64[n] ids) => (float[n, 4] y) {
            y = If(pick) <then_branch = t () => (float[n, 4] a) { a = Gather(table, ids) },
                          else_branch = e () => (float[n, 4] b) { b = Gather(few, ids) }>
        }""",
        table=_table(50),
        few=_table(4),
    )
    ids = random_feeds(model, {"n": 500}, 0)["ids"]
    assert set(np.unique(ids)) == {0, 1, 2, 3}


def test_a_lone_number_is_one_that_the_model_knows(build):
    model = build(
        """g (float[n] x, int64 rate) => (float[n] y) {
            known = Equal(rate, sixteen)
            y = If(known) <then_branch = t () => (float[n] a) { a = Relu(x) },
                           else_branch = e () => (float[n] b) { b = Neg(x) }>
        }""",
        sixteen=np.array(16000),
    )
    assert random_feeds(model, {"n": 2}, 0)["rate"] == 16000


def test_lengths_are_positive(build):
    model = build("g (float[n] x, int64[1] k) => (float[m] y, int64[m] i) { y, i = TopK(x, k) }")
    assert random_feeds(model, {"n": 5}, 0)["k"] == [1]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float", np.float32),
        ("double", np.float64),
        ("float16", np.float16),
        ("bfloat16", ml_dtypes.bfloat16),
    ],
)
def test_real_numbers_are_normal(build, name, dtype):
    x = random_feeds(build(f"g ({name}[n] x) => ({name}[n] y) {{ y = Relu(x) }}"), {"n": 4000}, 0)["x"]
    assert x.dtype == dtype
    assert abs(x.astype(np.float64).mean()) < 0.1
    assert 0.9 < x.astype(np.float64).std() < 1.1


def test_scales_are_positive(build):
    model = build(
        """g (float[1, 1, 4, 4] x, float[4] scales) => (float[a, b, c, d] y) { y = Resize(x, , scales) }"""
    )
    assert random_feeds(model, {}, 0)["scales"].tolist() == [1, 1, 1, 1]


def test_truth_values_are_mostly_true(build):
    x = random_feeds(build("g (bool[n] x) => (bool[n] y) { y = Not(x) }"), {"n": 4000}, 0)["x"]
    assert x.dtype == np.bool_
    assert 0.8 < x.mean() < 0.97


def test_bytes_are_spread(build):
    x = random_feeds(build("g (uint8[n] x) => (float[n] y) { y = Cast <to = 1> (x) }"), {"n": 4000}, 0)["x"]
    assert x.dtype == np.uint8
    assert x.max() > 100


def test_seeds_decide(build):
    model = build(TOKENS, table=_table(5), few=_table(2))
    sizes = {"batch": 3, "seq": 7}
    one, again, other = (random_feeds(model, sizes, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["ids"], other["ids"])


def test_text_and_sequences_are_refused(build):
    with pytest.raises(ModelError, match="input 'x' is of type STRING"):
        random_feeds(build("g (string[n] x) => (string[n] y) { y = Identity(x) }"), {"n": 1}, 0)
    with pytest.raises(ModelError, match="input 'x' is a sequence"):
        random_feeds(build("g (seq(float[n]) x) => (int64 y) { y = SequenceLength(x) }"), {}, 0)
    with pytest.raises(ModelError, match="input 'x' is optional"):
        random_feeds(build("g (optional(float[n]) x) => (bool y) { y = OptionalHasElement(x) }"), {}, 0)


def test_missing_size_is_named(build):
    with pytest.raises(ModelError, match="free dimension 'n'"):
        random_feeds(build("g (float[n] x) => (float[n] y) { y = Relu(x) }"), {}, 0)


def test_nothing_free_gives_one_empty_pair(build):
    assert list(choose_sizes(build("g (float[2] x) => (float[2] y) { y = Relu(x) }"))) == [({}, {})]


def test_the_first_pair_differs_everywhere(build):
    image = build("g (float[batch, 3, height, width] x) => (float y) { y = Relu(x) }")
    text = build(TOKENS, table=_table(5), few=_table(2))
    voice = build("g (float[batch, samples] x) => (float y) { y = Relu(x) }")
    video = build("g (float[n, 3, t, h, w] x) => (float y) { y = Relu(x) }")
    for model in (image, text, voice, video):
        first, second = next(choose_sizes(model))
        assert set(first) == set(second) == set(free_dimensions(model))
        assert all(first[key] != second[key] for key in first)
        assert len(set(first.values())) == len(first)


def test_names_of_exporters_do_not_keep_inputs_apart(build):
    model = build("g (int64[unk__1, unk__2] a, int64[unk__3, unk__4] b) => (int64 y) { y = Add(a, b) }")
    first, _ = next(choose_sizes(model))
    assert first["unk__1"] == first["unk__3"]
    assert first["unk__2"] == first["unk__4"]


def test_sequence_before_batch(build):
    first, _ = next(choose_sizes(build("g (float[sequence, batch, 8] x) => (float y) { y = Relu(x) }")))
    assert first["batch"] == 3
    assert first["sequence"] > 3


def test_weights_decide_free_channels(build, rng):
    model = build(
        "g (float[n, c, h, w] x) => (float y) { z = Cast <to = 1> (x) y = Conv <group = 2> (z, k) }",
        k=rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
    )
    assert next(choose_sizes(model))[0]["c"] == 6


def test_weights_decide_channels_that_come_last(build, rng):
    model = build(
        "g (float[n, h, w, c] x) => (float y) { z = Transpose <perm = [0, 3, 1, 2]> (x) y = Conv(z, k) }",
        k=rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
    )
    assert all(pair[0]["c"] == 3 for pair in choose_sizes(model))


def test_an_input_without_a_shape_gets_its_rank_from_the_weights(build, rng):
    model = build(
        "g (float[a] x) => (float y) { y = Conv(x, k) }",
        k=rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
    )
    model.graph.inputs[0].shape = None
    first, _ = next(choose_sizes(model))
    assert free_dimensions(model) == [("x", axis) for axis in range(4)]
    assert first[("x", 1)] == 3
    with open_session(model) as session:
        assert session.run(random_feeds(model, first, 0))["y"].shape[:2] == (3, 4)


def test_pairs_are_distinct_and_not_too_many(build):
    model = build("g (float[n, 3, h, w] x, int64[n, s] ids, float[n, f] z) => (float y) { y = Relu(x) }")
    pairs = [(tuple(a.items()), tuple(b.items())) for a, b in choose_sizes(model)]
    assert len(set(pairs)) == len(pairs) <= 160


def test_every_operator_named_exists():
    """A misspelt operator would be without effect, and without complaint."""
    from graphprune.runtime import meaning, positions

    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    outside = {"Embedding", "GatherBlockQuantized", "EmbedLayerNormalization"}
    named = {*meaning._KEEPING, *meaning._INDEXING, *meaning._RECURRENT_LENGTHS, *positions.SHAPE_POSITIONS}
    assert named - outside <= known
