"""Entries as loaders yield them: labels beside the inputs, lists of samples, tensors that are no arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphprune.calibrate.fitting import as_array, named
from graphprune.errors import CalibrationError

X = np.arange(2 * 64, dtype=np.float32).reshape(2, 64)
LABELS = np.array([3, 4])
ONE: dict[str, tuple[int | None, ...]] = {"x": (None, 64)}


def only(item: Any) -> Any:
    return named(item, ONE, "loader", 0)["x"]


@pytest.mark.parametrize(
    "item",
    [(X, LABELS), [X, LABELS], (X, 3), (X, ["cat", "dog"]), (X, {"boxes": 1}), (X, None), (X,), [X], X],
)
def test_labels_beside_the_only_input_are_left_out(item: Any) -> None:
    np.testing.assert_array_equal(only(item), X)


def test_a_sample_and_its_label() -> None:
    np.testing.assert_array_equal(only((X[0], 3)), X[0])
    np.testing.assert_array_equal(only((X[0], np.int64(3))), X[0])


def test_a_list_of_samples_is_a_batch() -> None:
    np.testing.assert_array_equal(as_array(only([X[0], X[1]]), ""), X)
    np.testing.assert_array_equal(as_array(only(X.tolist()), ""), X)


@pytest.mark.parametrize("item", [(X, X), [X, X], (X[0], X[1]), (LABELS, X)])
def test_what_could_be_either_is_refused(item: Any) -> None:
    with pytest.raises(CalibrationError, match=r"loader, entry 0 holds 2 arrays for 1 input .*: yield the"):
        only(item)


@pytest.mark.parametrize("value", [[[1, 2, 3], [1, 2]], (X, LABELS)])
def test_what_is_no_array(value: Any) -> None:
    with pytest.raises(CalibrationError, match=r"here: holds a .* that is no array"):
        as_array(value, "here")


def test_a_tensor_that_cannot_leave_its_device() -> None:
    class Tensor:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("call .cpu() first")

    with pytest.raises(CalibrationError, match=r"Tensor that is no array \(call .cpu\(\) first\)"):
        as_array(Tensor(), "here")
