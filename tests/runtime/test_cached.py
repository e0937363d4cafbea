"""Attention with a cache: sizes and lengths that agree are read off the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from graphprune.load import load
from graphprune.normalise import normalise
from graphprune.runtime import choose_sizes, open_session, random_feeds, record
from tests.decoder import decoder, decoder_feeds

STEP, PROMPT, CHUNK = (3, 1, 13), (3, 7, 0), (1, 7, 13)


def ready(told: str = "inputs", **options: Any) -> ir.Model:
    return normalise(load(decoder(told, **options)).model)


def at(batch: int, steps: int, past: int) -> dict[str, int]:
    return {"batch": batch, "steps": steps, "past": past, "span": past + steps}


@pytest.mark.parametrize("told", ["inputs", "mask", "sum"])
@pytest.mark.parametrize("sizes", [STEP, PROMPT, CHUNK])
def test_made_up_lengths_are_those_of_the_other_inputs(told: str, sizes: tuple[int, int, int]) -> None:
    found = random_feeds(ready(told), at(*sizes), 0)
    expected = decoder_feeds(*sizes, told)
    for name in {"seqlens_k", "total_sequence_length", "attention_mask"} & set(expected):
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype


def test_a_mask_that_nobody_counts_keeps_its_gaps(build: Any) -> None:
    model = build(
        "g (int64[n, m] attention_mask) => (float[n, m] y) { y = Cast <to = 1> (attention_mask) }",
    )
    assert 0 in random_feeds(model, {"n": 20, "m": 30}, 0)["attention_mask"]


@pytest.mark.parametrize("told", ["inputs", "mask", "sum"])
@pytest.mark.parametrize("packed", [False, True])
def test_recorded_with_and_without_several_positions(told: str, packed: bool) -> None:
    found = record(ready(told, packed=packed))
    assert (found.method, found.note) == ("run", "")
    assert found.certain
    assert (found.sizes["batch"], found.sizes_second["steps"]) == (1, 1)
    assert min(found.sizes["steps"], found.sizes["past"], found.sizes_second["past"]) > 1
    assert found.shapes["present.1.key"] == (1, 2, found.sizes["past"] + found.sizes["steps"], 16)


@pytest.mark.parametrize(
    ("fixed", "first", "second"),
    [
        ({"batch": 4}, {"steps": 1, "past": 13}, {"steps": 11, "past": 0}),
        ({"batch": 1}, {"steps": 7, "past": 13}, {"steps": 11, "past": 17}),
        ({"steps": 1}, {"batch": 3, "past": 13}, {"batch": 2, "past": 17}),
        ({"steps": 5}, {"batch": 1, "past": 13}, {"batch": 2, "past": 0}),
        ({"past": 32}, {"batch": 3, "steps": 7}, {"batch": 2, "steps": 11}),
        ({"past": 32, "steps": 1}, {"batch": 3}, {"batch": 2}),
        ({"batch": 1, "steps": 1, "past": 0}, {}, {}),
    ],
)
def test_what_is_fixed_decides_what_is_tried(
    fixed: dict[str, int], first: dict[str, int], second: dict[str, int]
) -> None:
    model = ready(fixed=fixed)
    assert next(choose_sizes(model)) == (first, second)
    with open_session(model) as session:
        for sizes in (first, second):
            assert np.isfinite(session.run(random_feeds(model, sizes, 0))["logits"]).all()


def test_a_cache_of_fixed_size_is_full_for_a_single_position() -> None:
    model = ready(fixed={"past": 32, "steps": 1})
    assert random_feeds(model, {"batch": 2}, 0)["total_sequence_length"] == 32


def test_without_a_cache_all_positions_are_present() -> None:
    model = ready(past=False)
    found = record(model)
    assert (found.method, found.note) == ("run", "")
    assert found.feeds["total_sequence_length"] == found.sizes["steps"] > 1


def test_numbers_that_nothing_explains_are_named() -> None:
    found = record(ready("odd", fixed={"steps": 5}))
    assert found.method == "inference"
    assert 'give inputs that it takes (--calib), numbers made up for "lengths" may not suit it' in found.note


def test_lengths_that_agree_are_no_suspects() -> None:
    found = record(ready(head=8))
    assert "head_size" in found.note
    assert "may not suit" not in found.note


def test_inputs_of_the_users_where_all_that_is_made_up_is_refused() -> None:
    model = ready("odd", fixed={"steps": 5})
    given = [decoder_feeds(b, 5, p, "odd") for b, p in ((2, 0), (3, 0), (1, 4), (1, 7))]
    bad = {**given[0], "lengths": np.zeros(2, np.int32)}
    found = record(model, examples=lambda: [bad, *given])
    assert (found.method, found.note) == ("run", "")
    assert found.sizes == {"batch": 2, "past": 0}
    assert found.sizes_second == {"batch": 1, "past": 4}
    assert [f["lengths"].tolist() for f in found.given] == [[4, 4], [8]]
    assert found.feeds["lengths"].tolist() == [4, 4]


def test_one_input_of_the_users_is_one_size() -> None:
    found = record(ready("odd", fixed={"steps": 5}), examples=lambda: [decoder_feeds(2, 5, 0, "odd")])
    assert (found.method, found.note) == ("run", "the model ran at one size only")
    assert not found.certain
    assert len(found.given) == 1


def test_inputs_of_the_users_that_are_refused_too() -> None:
    bad = {**decoder_feeds(2, 5, 0, "odd"), "lengths": np.zeros(2, np.int32)}
    found = record(ready("odd", fixed={"steps": 5}), examples=lambda: [bad])
    assert (found.method, found.given) == ("inference", ())
    assert "nor on the inputs that were given (--calib)" in found.note


def test_inputs_of_the_users_are_not_read_in_vain() -> None:
    assert record(ready(), examples=lambda: pytest.fail("they were read")).given == ()
