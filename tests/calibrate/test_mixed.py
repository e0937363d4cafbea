"""Inputs that are mixed of those given."""

from __future__ import annotations

import itertools

import numpy as np

from graphprune.calibrate.mixed import Feeds, mixed


def taken(batches: list[Feeds], tables: dict[str, int], count: int, seed: int = 0) -> list[Feeds]:
    return list(itertools.islice(mixed(batches, tables, seed), count))


def test_numbers_lie_in_between() -> None:
    ends = [{"x": np.full((6, 2, 3), value, np.float32)} for value in (0.0, 1.0)]
    found = np.stack([b["x"] for b in taken(ends, {}, 20)])
    assert found.shape == (20, 6, 2, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() < 0.1
    assert 0.9 < found.max() <= 1
    assert (found.max(axis=(2, 3)) == found.min(axis=(2, 3))).all()  # one share for each sample


def test_pictures_are_moved_and_mirrored_wherever_their_channels_are() -> None:
    """One bright pixel in the middle of an edge: it moves by a tenth of a side at most, or to the other edge."""
    for shape, channels in (((4, 3, 20, 30), 1), ((4, 20, 30, 3), 3)):
        picture = np.zeros(shape, np.float32)
        bright = np.moveaxis(picture, channels, 1)
        bright[:, :, 10, 4] = 1
        found = np.concatenate([np.moveaxis(b["x"], channels, 1) for b in taken([{"x": picture}], {}, 30)])
        assert (found == found[:, :1]).all()  # channels move together
        places = np.argwhere(found[:, 0] > 0)[:, 1:]
        assert set(places[:, 0]) == {8, 9, 10, 11, 12}
        assert set(places[:, 1]) == {*range(1, 8), *range(22, 29)}


def test_tokens_are_those_of_other_samples() -> None:
    batches = [{"ids": np.arange(40).reshape(4, 10) + 100 * k} for k in range(3)]
    tables = {"ids": 300}
    for number, batch in enumerate(taken(batches, tables, 6)):
        own = batch["ids"] == batches[number % 3]["ids"]
        assert 0.1 < own.mean() < 0.95
        assert set(batch["ids"].ravel()) <= set(np.concatenate([b["ids"].ravel() for b in batches]))


def test_what_counts_or_hides_stays() -> None:
    draw = np.random.default_rng(0)
    batches = [
        {
            "ids": draw.integers(0, 50, (4, 8)),
            "positions": np.broadcast_to(np.arange(8), (4, 8)),
            "mask": draw.integers(0, 2, (4, 8)),
        }
        for _ in range(3)
    ]
    for number, batch in enumerate(taken(batches, {"ids": 50, "positions": 8}, 6)):
        given = batches[number % 3]
        assert (batch["ids"] != given["ids"]).any()
        for name in ("positions", "mask"):
            np.testing.assert_array_equal(batch[name], given[name])


def test_only_equal_shapes_are_mixed() -> None:
    sizes = (5, 7, 5, 9, 7)
    batches = [{"x": np.full((1, k), k, np.float32)} for k in sizes]
    found = taken(batches, {}, 8)
    assert sorted({b["x"].shape[1] for b in found}) == [5, 7]
    assert all((b["x"] == b["x"].shape[1]).all() for b in found)


def test_nothing_comes_of_a_single_sample_or_of_none() -> None:
    one = np.ones((1, 4), np.float32)
    assert not taken([{"x": one}], {}, 3)
    assert not taken([{"x": one, "rate": np.array(16000)}] * 2, {}, 3)
    assert not taken([{"x": one, "state": np.ones((2, 1, 4), np.float32)}] * 2, {}, 3)


def test_seeds_repeat() -> None:
    batches = [{"x": np.random.default_rng(k).standard_normal((4, 3)).astype(np.float32)} for k in range(2)]
    first, again, other = (taken(batches, {}, 3, seed) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a["x"], b["x"])
        assert (a["x"] != c["x"]).any()
