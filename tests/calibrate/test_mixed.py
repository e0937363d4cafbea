"""Inputs that are mixed of those given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphprune.calibrate import mixed as mixed_inputs
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


@pytest.mark.parametrize(("shape", "channels"), [((4, 3, 20, 30), 1), ((4, 20, 30, 3), 3)])
def test_pictures_are_moved_stretched_and_mirrored(shape: tuple[int, ...], channels: int) -> None:
    """A bright spot left of the middle: it moves by a tenth of a side and a fourth of its distance to the middle."""
    picture = np.zeros(shape, np.float32)
    bright = np.moveaxis(picture, channels, 1)
    bright[:, :, 9:11, 4:6] = 1
    found = np.concatenate([np.moveaxis(b["x"], channels, 1) for b in taken([{"x": picture}], {}, 60)])
    assert (found == found[:, :1]).all()  # channels move together
    places = np.argwhere(found[:, 0] > 0)[:, 1:]
    assert places[:, 0].min() in (6, 7)
    assert places[:, 0].max() in (12, 13)
    assert {3, 4, 5, 6, 24, 25, 26} <= set(places[:, 1])
    assert not {12, 13, 14, 15, 16, 17} & set(places[:, 1])


def test_pieces_are_laid_into_pictures() -> None:
    """Of a black and of a white picture: some mixtures are grey, some have a rectangle of one in the other."""
    ends = np.repeat(np.float32([0, 1]), 20).reshape(-1, 1, 1, 1)
    given = [{"x": np.broadcast_to(ends, (40, 3, 12, 16)).copy()}]
    found = np.concatenate([b["x"] for b in taken(given, {}, 4)])
    pieces = [p for p in found if p.max() != p.min()]
    assert 0.1 < len(pieces) / len(found) < 0.4  # half of those that are made of both
    for picture in pieces:
        assert (picture == picture[:1]).all()  # in all channels alike
        assert any(_is_rectangle(p) for p in (picture[0] == 0, picture[0] == 1))


def _is_rectangle(places: np.ndarray) -> bool:
    return bool((places == places.any(axis=1, keepdims=True) & places.any(axis=0, keepdims=True)).all())


def test_pictures_are_only_mixed_where_nothing_else_is_asked() -> None:
    pictures = [{"x": np.full((6, 3, 12, 16), value, np.float32)} for value in (0.0, 1.0)]
    for batch in itertools.islice(mixed(pictures, {}, 0, varied=False), 8):
        assert (batch["x"] == batch["x"][:, :1, :1, :1]).all()


def test_tokens_are_those_of_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixed_inputs, "MADE_UP", 0.0)
    batches = [{"ids": np.arange(40).reshape(4, 10) + 100 * k} for k in range(3)]
    tables = {"ids": 300}
    for number, batch in enumerate(taken(batches, tables, 6)):
        own = batch["ids"] == batches[number % 3]["ids"]
        assert 0.1 < own.mean() < 0.95
        assert set(batch["ids"].ravel()) <= set(np.concatenate([b["ids"].ravel() for b in batches]))


def test_some_sequences_of_tokens_are_made_up() -> None:
    """Below the rows of the table; the given ones hold even numbers only."""
    draw = np.random.default_rng(0)
    batches = [{"ids": 2 * draw.integers(0, 100, (32, 64))} for _ in range(2)]
    found = np.concatenate([b["ids"] for b in taken(batches, {"ids": 200}, 40)])
    assert found.dtype == batches[0]["ids"].dtype
    assert 0 <= found.min() < found.max() < 200
    assert 0.2 < (found % 2).any(axis=1).mean() < 0.35  # a few of those made up have few symbols
    short = np.concatenate(
        [b["ids"] for b in taken([{"ids": 2 * draw.integers(0, 9, (32, 4))}], {"ids": 20}, 20)]
    )
    assert not (short % 2).any()


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


@pytest.mark.parametrize(("shape", "expected"), [((3, 10, 10), 0.75), ((300,), 0.5)])
def test_half_of_the_pictures_meet_one_of_the_nearest(shape: tuple[int, ...], expected: float) -> None:
    """Two kinds of inputs in equal numbers: a partner at random is of the other kind half of the time."""
    kinds = np.random.default_rng(0).permutation(np.repeat(np.float32([0, 1]), 32))
    given = np.broadcast_to(kinds.reshape(-1, *[1] * len(shape)), (64, *shape))
    batches = [{"x": given[k : k + 16].copy()} for k in range(0, 64, 16)]
    feeds = itertools.islice(mixed(batches, {}, 0, varied=False), 200)
    found = np.concatenate([b["x"].reshape(16, -1)[:, 0] for b in feeds])
    assert abs(np.isin(found, (0, 1)).mean() - expected) < 0.03
