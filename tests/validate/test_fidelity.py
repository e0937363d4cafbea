"""Agreement of outputs: the figures, and which outputs are scores of classes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphprune.compensate.likeness import Likeness
from graphprune.validate import doubts, measure_fidelity
from graphprune.validate.scores import class_axis, divergence, expected_drop, top_agreement


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_figures_of_a_known_difference() -> None:
    before = np.array([[3.0, 4.0, 0.0, 0.0, 0.0, 0.0]])
    (found,) = measure_fidelity([{"y": before}], [{"y": before + np.eye(6)[2] / 2}])
    assert found.relative_error == pytest.approx(0.1)
    assert found.sqnr_db == pytest.approx(20.0)
    assert found.cosine == pytest.approx(5 / math.sqrt(25.25))
    assert (found.top1, found.top5) == (1.0, 1.0)


def test_equal_outputs_have_no_noise() -> None:
    y = normal(4, 10).astype(np.float32)
    (found,) = measure_fidelity([{"y": y}], [{"y": y}])
    assert (found.relative_error, found.sqnr_db, found.top1, found.kl) == (0.0, None, 1.0, 0.0)


def test_divergence_of_logits_and_of_probabilities_is_the_same() -> None:
    p, q = normal(5, 7), normal(5, 7, seed=1)
    soft = [np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (p, q)]
    expected = float((soft[0] * np.log(soft[0] / soft[1])).sum(1).mean())
    assert divergence(p, q) == pytest.approx(expected)
    assert divergence(*soft) == pytest.approx(expected)


def test_largest_entry_among_the_best() -> None:
    before = np.eye(8)
    after = np.tile(np.arange(8.0), (8, 1))  # the largest is always 7, the best five are 3 to 7
    assert top_agreement(before, after, 1) == 1 / 8
    assert top_agreement(before, after, 5) == 5 / 8


@pytest.mark.parametrize(
    ("name", "shape", "axis"),
    [
        ("y", (4, 10), 1),
        ("embedding", (4, 10), None),
        ("y", (4, 1), None),
        ("logits", (2, 5, 30), 2),
        ("last_hidden_state", (2, 5, 30), None),
        ("mask_scores", (2, 5, 8, 8), 1),
        ("y", (2, 3, 8, 8), None),
        ("y", (10,), None),
    ],
)
def test_which_outputs_are_scores(name: str, shape: tuple[int, ...], axis: int | None) -> None:
    assert class_axis(name, normal(*shape)) == axis


def test_shares_are_scores_whatever_their_name() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 4))  # (2, 4, 6)
    assert class_axis("embedding", shares) == 2
    assert class_axis("embedding", shares.transpose(0, 2, 1)) == 1


def test_other_shapes_and_whole_numbers_are_left_out() -> None:
    before = [{"y": normal(3, 4), "boxes": normal(5, 4), "ids": np.arange(3)}]
    after = [{"y": normal(3, 4), "boxes": normal(6, 4), "ids": np.arange(3)}]
    assert [f.output for f in measure_fidelity(before, after)] == ["y"]


def test_impossible_words_do_not_spoil_the_figures() -> None:
    before, after = normal(3, 8), normal(3, 8)
    after[:, 2] = -np.inf
    (found,) = measure_fidelity([{"logits": before}], [{"logits": after}])
    assert found.relative_error == 0.0
    assert (found.kl, found.drop) == (None, None)
    assert found.top1 is not None


def test_expected_loss_is_what_the_original_believed_more_in_its_own_choice() -> None:
    before = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6], [0.8, 0.1, 0.1]])
    after = np.array([[0.0, 3.0, 1.0], [1.0, 2.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]])
    assert expected_drop(before, after) == pytest.approx((0.5 + 0.1) / 4)
    assert expected_drop(np.log(before) + 3, after) == pytest.approx((0.5 + 0.1) / 4)
    (found,) = measure_fidelity([{"y": before}], [{"y": after}])
    assert found.drop == expected_drop(before, after)


def test_expected_loss_is_not_told_where_the_original_prefers_nothing() -> None:
    cosines = normal(50, 6) / 10
    (found,) = measure_fidelity([{"y": cosines}], [{"y": normal(50, 6, seed=1)}])
    assert found.top1 is not None
    assert found.drop is None


def test_expected_loss_is_near_the_real_one_where_probabilities_are_right() -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (4000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) > draw.uniform(size=(4000, 1))).argmax(1)
    after = logits + draw.normal(0, 1, logits.shape)
    real = (logits.argmax(1) == labels).mean() - (after.argmax(1) == labels).mean()
    assert 0.02 < real < 0.2
    assert expected_drop(logits, after) == pytest.approx(real, abs=0.02)


def test_scores_of_as_many_as_there_are_inputs_are_no_classes() -> None:
    """As those of pictures and texts in CLIP."""
    draw = np.random.default_rng(0)
    before = [{"logits": draw.standard_normal((n, n)).astype(np.float32)} for n in (3, 2)]
    (found,) = measure_fidelity(before, before)
    assert found.top1 is None
    assert found.relative_error == 0
    targets = [b["logits"] for b in before]
    assert Likeness.of_scores(targets, -1).information == 0


def test_what_is_no_number_any_more_is_lost() -> None:
    before = np.array([[3.0, 4.0, 0.0], [0.0, 5.0, 0.0]])
    (found,) = measure_fidelity([{"y": before}], [{"y": np.full((2, 3), np.nan)}])
    assert (found.relative_error, found.top1) == (1.0, 0.0)


def test_an_output_without_numbers_has_no_figures() -> None:
    before = np.full((2, 3), np.inf)
    assert measure_fidelity([{"y": before}], [{"y": np.zeros((2, 3))}]) == ()
    partly = np.array([[np.nan, 1.0, 2.0]])
    (found,) = measure_fidelity([{"y": partly}], [{"y": np.array([[7.0, 1.0, 2.0]])}])
    assert found.relative_error == 0.0


def test_agreement_in_one_class_only_is_doubted() -> None:
    before = np.tile([3.0, 0.0, 1.0], (40, 1)) + normal(40, 3) / 10
    (found,) = measure_fidelity([{"y": before}], [{"y": before * 1.1}])
    assert found.top1 == 1.0
    assert found.alike
    (doubt,) = doubts([found], "made-up inputs", made_up=True)
    assert '"y"' in doubt
    assert "says little" in doubt
    few, mixed = before[:8], np.concatenate([before, before[:, ::-1] - 1])
    for rows in (few, mixed):
        assert not any(f.alike for f in measure_fidelity([{"y": rows}], [{"y": rows}]))


def test_large_errors_on_made_up_inputs_are_told() -> None:
    found = measure_fidelity([{"y": normal(9, 4)}], [{"y": normal(9, 4, seed=1)}])
    (doubt,) = doubts(found, "made-up inputs kept aside", made_up=True)
    assert "--calib" in doubt
    assert not list(doubts(found, "the calibration inputs", made_up=False))
