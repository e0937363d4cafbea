"""Models that run at certain sizes only: those are found, or the user's inputs tell them."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.runtime import record
from graphprune.runtime.dimensions import sizes_in
from graphprune.runtime.sizes import choose_sizes

Build = Callable[..., ir.Model]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def blocks(build: Build, size: int) -> ir.Model:
    """The sequence is cut into blocks of `size`."""
    return build(
        """g (int64[batch, seq] ids) => (float[b, s, 6] y) {
            a = Gather(table, ids)
            r = Reshape(a, cut)
            q = Softmax <axis = 2> (r)
            u = Reshape(q, whole)
            y = MatMul(u, w)
        }""",
        table=normal(9, 4),
        w=normal(4, 6),
        cut=np.array([0, -1, size, 4]),
        whole=np.array([0, -1, 4]),
    )


@pytest.mark.parametrize("size", [48, 64])
def test_sequences_come_in_blocks(build: Build, size: int) -> None:
    found = record(blocks(build, size))
    assert (found.sizes["seq"], found.sizes_second["seq"]) == (size, 2 * size)
    assert found.certain


def test_height_and_width_are_multiples(build: Build) -> None:
    model = build(
        """g (float[n, 3, h, w] x) => (float[n, 3, h, w] y) {
            a = Conv <pads = [1, 1, 1, 1]> (x, k)
            b = MaxPool <kernel_shape = [32, 32], strides = [32, 32]> (a)
            c = Resize(b, , up)
            d = Concat <axis = 1> (a, c)
            y = Conv(d, m)
        }""",
        k=normal(8, 3, 3, 3),
        m=normal(3, 16, 1, 1),
        up=np.array([1, 1, 32, 32], np.float32),
    )
    found = record(model)
    assert (found.method, found.note) == ("run", "")
    assert all(size % 32 == 0 for key, size in found.sizes.items() if key in ("h", "w"))


def test_a_batch_of_one(build: Build) -> None:
    model = build(
        """g (float[batch, 3, h, w] x) => (float[n, c, p, q] y) {
            a = Conv(x, k)
            s = Shape <start = 2> (a)
            t = Concat <axis = 0> (one, s)
            y = Reshape(a, t)
        }""",
        k=normal(8, 3, 3, 3),
        one=np.array([1, 8]),
    )
    found = record(model)
    assert found.sizes["batch"] == 1
    assert found.note == "recorded at one size of batch"


def test_lengths_of_different_names_that_must_be_equal(build: Build) -> None:
    model = build(
        """g (float[batch, frames, 8] x, int64[batch, len] ids) => (float[b, s, 6] y) {
            a = Gather(table, ids)
            b = Add(a, x)
            y = MatMul(b, w)
        }""",
        table=normal(9, 8),
        w=normal(8, 6),
    )
    found = record(model)
    assert found.sizes["frames"] == found.sizes["len"] > 1
    assert found.certain


def test_a_table_of_positions_tells_the_length(build: Build) -> None:
    model = build(
        """g (int64[batch, seq] ids) => (float[b, s, 6] y) {
            a = Gather(table, ids)
            b = Add(a, places)
            y = MatMul(b, w)
        }""",
        table=normal(9, 8),
        places=normal(1, 50, 8),
        w=normal(8, 6),
    )
    assert record(model).sizes["seq"] == 50


@pytest.mark.parametrize("side", [28, 50, 91])
def test_a_flattened_picture_has_the_size_that_the_product_asks_for(build: Build, side: int) -> None:
    left = (side - 4) // 2
    model = build(
        """g (float[n, 1, h, w] x) => (float[n, 10] y) {
            a = Conv(x, k)
            b = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
            f = Flatten(b)
            y = MatMul(f, m)
        }""",
        k=normal(6, 1, 5, 5),
        m=normal(6 * left * left, 10),
    )
    found = record(model)
    assert found.method == "run"
    assert (found.sizes["h"] - 4) // 2 == left


def test_a_window_of_sound_has_the_size_that_the_product_asks_for(build: Build) -> None:
    model = build(
        """g (float[batch, samples] x) => (float[b, 6] y) {
            u = Unsqueeze(x, axes)
            a = Conv <strides = [64]> (u, k)
            f = Flatten(a)
            y = Gemm <transB = 1> (f, m)
        }""",
        k=normal(8, 1, 128),
        m=normal(6, 64),
        axes=np.array([1]),
    )
    assert record(model).sizes["samples"] == 576


def test_a_stale_batch_is_no_other_length(build: Build) -> None:
    """Half the length and a batch of two fill the constant shape too, but as one sample."""
    model = build(
        """g (float[batch, seq, 4] x) => (float[b, 12, 4] y) { y = Reshape(x, s) }""",
        s=np.array([-1, 12, 4]),
    )
    found = record(model)
    assert found.sizes_second == {"batch": 2, "seq": 12}


def test_what_to_give_is_said_where_no_size_runs(build: Build) -> None:
    model = build(
        """g (float[batch, seq, 4] x) => (float[b, s, 4] y) {
            a = Reshape(x, cut)
            b = Reshape(a, whole)
            y = Relu(b)
        }""",
        cut=np.array([-1, 4999]),
        whole=np.array([-1, 4999, 4]),
    )
    found = record(model)
    assert found.method == "inference"
    assert "other choices of batch, seq): give inputs of sizes that it takes (--calib)" in found.note


# -- sizes that the user's inputs have -------------------------------------------------------------


def test_given_sizes_come_first_and_another_is_looked_for(build: Build) -> None:
    found = record(blocks(build, 4), given=({"batch": 1, "seq": 56},))
    assert (found.sizes["seq"], found.sizes_second["seq"]) == (56, 28)
    assert (found.sizes["batch"], found.sizes_second["batch"]) == (3, 2)


def test_two_given_sizes_are_the_pair(build: Build) -> None:
    given = ({"batch": 32, "seq": 20}, {"batch": 7, "seq": 20}, {"batch": 32, "seq": 36})
    found = record(blocks(build, 4), given=given)
    assert (found.sizes["seq"], found.sizes_second["seq"]) == (20, 36)


def test_a_given_size_at_which_the_model_does_not_run_is_passed_over(build: Build) -> None:
    found = record(blocks(build, 64), given=({"batch": 1, "seq": 100},))
    assert found.sizes["seq"] == 64


def test_the_number_of_samples_is_given_where_the_model_insists(build: Build) -> None:
    model = build(
        "g (float[batch, seq, 4] x) => (float[b, s, 4] y) { a = Reshape(x, five) y = Relu(a) }",
        five=np.array([5, -1, 4, 11]),
    )
    found = record(model, given=({"batch": 5, "seq": 11},))
    assert (found.sizes["batch"], found.sizes["seq"]) == (5, 11)


def test_a_given_length_is_no_batch_of_ours(build: Build) -> None:
    model = build("g (float[batch, seq, 4] x) => (float[batch, seq, 4] y) { y = Relu(x) }")
    first, second = next(choose_sizes(model, ({"batch": 32, "seq": 3},)))
    assert first == {"batch": 5, "seq": 3}
    assert second == {"batch": 4, "seq": 3}


def test_lengths_of_one_say_little_and_come_last(build: Build) -> None:
    """A cache that is fed one token at a time is recorded at lengths that can be told from a broadcast."""
    model = build("g (float[batch, seq, 4] x) => (float[batch, seq, 4] y) { y = Relu(x) }")
    assert record(model, given=({"batch": 1, "seq": 1},)).sizes["seq"] > 1


def test_sizes_are_read_from_shapes(build: Build) -> None:
    model = build("g (float[batch, total, 4] m, int64[batch, seq] ids) => (float[batch, total, 4] m) {}")
    model.graph.inputs[0].shape = ir.Shape(["batch", "past + seq", 4])
    model.graph.inputs.append(
        ir.Value(name="c", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", "past"]))
    )
    shapes = {"m": (2, 12, 4), "ids": (2, 5), "c": (2, 7)}
    assert sizes_in(model, shapes) == {"batch": 2, "seq": 5, "past": 7}
    assert sizes_in(model, {**shapes, "c": (7,)}) is None, "a batch of one beside two"
    assert sizes_in(model, {**shapes, "c": (2, 7, 1)}) is None
    assert sizes_in(model, {"m": (12, 4), "ids": (5,), "c": (7,)}) == {"batch": 1, "seq": 5, "past": 7}
