"""Steps of descent: what they do not depend on, and that matrices are walked down along their own directions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from graphprune.compensate import optimisers
from graphprune.compensate.optimisers import Adam, Soap

Floats = NDArray[np.float32]


def gradients(shape: tuple[int, ...], count: int = 25, seed: int = 0) -> list[Floats]:
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(shape[-1], shape[-1])) * np.geomspace(1, 1e-2, shape[-1])
    return [(draw.normal(size=shape) @ mixed).astype(np.float32) for _ in range(count)]


def left(optimiser: Adam, steps: int = 120) -> float:
    """What is left of `||A (W - T) B||^2`, where A and B stretch some directions a hundred times more."""
    draw = np.random.default_rng(4)
    a, b = (
        np.linalg.qr(draw.normal(size=(n, n)))[0]
        * np.geomspace(1, 0.01, n)
        @ np.linalg.qr(draw.normal(size=(n, n)))[0]
        for n in (12, 20)
    )
    off = draw.normal(size=(12, 20))
    start = float(np.square(a @ off @ b).sum())
    for step in range(steps):
        slope = 2 * a.T @ (a @ off @ b) @ b.T
        off = off - 0.1 * (1 - step / steps) * optimiser.step(slope.astype(np.float32))
    return float(np.square(a @ off @ b).sum()) / start


def test_turned_to_its_directions_a_matrix_comes_further() -> None:
    assert left(Soap((1, 12, 20))) < 0.3 * left(Adam())


def test_sides_too_large_to_turn_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both of them it is Adam with another memory, at the same steps."""
    monkeypatch.setattr(optimisers, "LARGEST", 5)
    soap, adam = Soap((1, 6, 8)), Adam(0.95)
    for slope in gradients((6, 8)):
        np.testing.assert_allclose(soap.step(slope), adam.step(slope), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("power", [-60, 60, 120])
def test_steps_do_not_depend_on_how_large_gradients_are(power: int) -> None:
    one, other = Soap((1, 6, 8)), Soap((1, 6, 8))
    for slope in gradients((6, 8)):
        np.testing.assert_array_equal(other.step(slope * np.float32(2.0**power)), one.step(slope))


def test_matrices_of_a_stack_know_nothing_of_each_other() -> None:
    both, alone = Soap((2, 6, 6)), Soap((1, 6, 6))
    for slope, other in zip(gradients((6, 6)), gradients((6, 6), seed=1), strict=True):
        found = both.step(np.stack([slope, other]))
        np.testing.assert_allclose(found[0], alone.step(slope), rtol=0.01, atol=0.01)


def test_work_is_that_of_the_turns() -> None:
    assert Soap((2, 6, 8)).work == 4 * 2 * (6 * 6 * 8 + 6 * 8 * 8)
    assert Soap((1, 6, optimisers.LARGEST + 1)).work == 4 * 6 * 6 * (optimisers.LARGEST + 1)
    assert Soap((1, 1, 8)).work == 4 * 8 * 8
    assert Adam().work == 0


def test_a_kernel_is_one_matrix() -> None:
    slope = gradients((6, 18), 1)[0]
    kernel, matrix = Soap((1, 6, 18)), Soap((1, 6, 18))
    np.testing.assert_array_equal(kernel.step(slope.reshape(6, 2, 3, 3)).reshape(6, 18), matrix.step(slope))
