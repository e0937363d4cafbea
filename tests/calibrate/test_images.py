"""Pictures of every depth, and preprocessing that makes nothing of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphprune.calibrate.images import Preprocessing, is_image_folder, read_images
from graphprune.errors import CalibrationError

GREY = (None, 1, 8, 8)
COLOUR = (None, 3, 8, 8)
VALUES = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.fixture
def save(tmp_path: Path) -> Any:
    pil = pytest.importorskip("PIL.Image", reason="Pillow reads images")

    def saved(array: Any, suffix: str = ".png") -> Path:
        pil.fromarray(array).save(tmp_path / f"a{suffix}")
        return tmp_path

    return saved


def read(folder: Path, shape: tuple[int | None, ...], text: str = "") -> Any:
    return next(iter(read_images(folder, Preprocessing.parse(text), shape, None)))


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_sixteen_bits_keep_their_range(save: Any, shape: tuple[int | None, ...]) -> None:
    found = read(save(VALUES.astype(np.uint16) * 257 + 100), shape, "scale=1")
    assert found.shape == (1, *shape[1:])
    np.testing.assert_allclose(found[0], np.broadcast_to(VALUES + 100 / 257, shape[1:]), rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "words"), [(np.int32, "whole numbers of 32 bits"), (np.float32, "real numbers of 32 bits")]
)
def test_thirty_two_bits_are_refused(save: Any, kind: Any, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        read(save(VALUES.astype(kind), ".tif"), GREY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resize=0", "resize=0 .*give a number of pixels"),
        ("resize=-3", "resize=-3"),
        ("crop=0", "crop=0"),
        ("std=0", "not zero"),
        ("std=1:0:1", "1, 0, 1 is found"),
        ("mean=nan", "mean .*finite"),
        ("scale=inf", "scale .*finite"),
        ("scale=0", "scale .*not zero"),
        ("crop=4", "crop=4 .* takes pictures of 8x8: leave crop out"),
        ("mean=0.5:0.5:0.5", "mean .* has 3 numbers, but pictures are read with 1 channels"),
    ],
)
def test_preprocessing_that_cannot_be_meant(save: Any, text: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        read(save(VALUES), GREY, text)


def test_a_crop_of_the_models_size_is_no_contradiction(save: Any) -> None:
    assert read(save(VALUES), GREY, "resize=9,crop=8").shape == (1, 1, 8, 8)
    assert read(save(VALUES), (None, 1, None, None), "resize=9,crop=4").shape == (1, 1, 4, 4)


def test_arrays_among_pictures_are_named(save: Any) -> None:
    folder = save(VALUES)
    assert is_image_folder(folder)
    np.save(folder / "b.npy", VALUES)
    with pytest.raises(CalibrationError, match=r"holds 1 pictures and 1 files of arrays \(b.npy\)"):
        is_image_folder(folder)
