"""Sequences that a language model draws itself: which models speak, and what they say."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from graphprune.calibrate import load_calibration
from graphprune.calibrate.sampled import (
    BEGUN,
    REPLACED,
    WORK,
    draw_sequences,
    passages,
    respoken,
)
from graphprune.calibrate.speaker import Speaker, find_speaker
from graphprune.normalise import normalise
from graphprune.runtime import record

TOKENS = 11
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
# Each token says which one comes next.
SPEAKS = f"""{HEAD} g (int64[batch, sequence] ids) => (float[batch, sequence, 11] scores) <float[11, 11] next> {{
 scores = Gather(next, ids) }}"""
# The same, but every position reads all the others.
LOOKS_AHEAD = f"""{HEAD} g (int64[batch, sequence] ids) => (float[batch, sequence, 11] scores)
 <float[11, 11] next> {{
 one = Gather(next, ids)
 all = ReduceMean<axes=[1]>(one)
 scores = Add(one, all) }}"""
# One score for each of three tags: not a vocabulary of eleven.
TAGS = f"""{HEAD} g (int64[batch, sequence] ids) => (float[batch, sequence, 3] scores) <float[11, 3] next> {{
 scores = Gather(next, ids) }}"""


def model_of(text: str, outputs: int = TOKENS) -> ir.Model:
    proto = onnx.parser.parse_model(text)
    del proto.graph.value_info[:]
    table = np.zeros((TOKENS, outputs), np.float32)
    table[np.arange(TOKENS), (np.arange(TOKENS) + 3) % outputs] = 9.0
    proto.graph.initializer.append(onnx.numpy_helper.from_array(table, "next"))
    return normalise(ir.from_proto(proto))


def speaker_of(text: str) -> Speaker:
    found = find_speaker(model_of(text), feeds(), {"ids": TOKENS})
    assert found is not None
    return found


def feeds(count: int = 16, length: int = 20) -> dict[str, np.ndarray]:
    return {"ids": np.random.default_rng(0).integers(0, TOKENS, (count, length))}


def test_tokens_follow_one_another_as_the_model_says() -> None:
    drawn = draw_sequences(speaker_of(SPEAKS), [feeds(), feeds()], 0)
    assert len(drawn) == 2
    for batch in drawn:
        ids = batch["ids"]
        assert ids.shape == (16, 20)
        assert ((ids[:, 1:] - ids[:, :-1]) % TOKENS == 3).mean() > 0.9
        assert len(np.unique(ids[:, 0])) > 3  # they do not all begin alike


def test_seeds_repeat() -> None:
    speaker = speaker_of(SPEAKS)
    first, again, other = (draw_sequences(speaker, [feeds()], seed)[0]["ids"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(("text", "outputs"), [(LOOKS_AHEAD, TOKENS), (TAGS, 3)])
def test_others_do_not_speak(text: str, outputs: int) -> None:
    assert find_speaker(model_of(text, outputs), feeds(), {"ids": TOKENS}) is None


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, batches = speaker_of(SPEAKS), [feeds() for _ in range(5)]
    one = 16 * 20 * 20 * TOKENS * TOKENS / 2
    assert 5 * one < WORK
    monkeypatch.setattr("graphprune.calibrate.sampled.WORK", 4.5 * one)
    assert len(draw_sequences(speaker, batches, 0)) == 4
    monkeypatch.setattr("graphprune.calibrate.sampled.WORK", 0.9 * one)
    assert draw_sequences(speaker, batches, 0) == ()


def test_large_models_draw_shorter_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    one = 16 * 64 * 64 * TOKENS * TOKENS / 2
    monkeypatch.setattr("graphprune.calibrate.sampled.WORK", 1.5 * one)
    drawn = draw_sequences(speaker_of(SPEAKS), [feeds(length=64) for _ in range(4)], 0)
    assert [d["ids"].shape for d in drawn] == [(16, 32)] * 4


def test_shares_of_one_are_read_as_such() -> None:
    text = SPEAKS.replace("scores = Gather(next, ids)", "s = Gather(next, ids) scores = Softmax(s)")
    ids = draw_sequences(speaker_of(text), [feeds()], 0)[0]["ids"]
    assert ((ids[:, 1:] - ids[:, :-1]) % TOKENS == 3).mean() > 0.9


def test_noise_for_a_language_model_is_its_own_text() -> None:
    model = model_of(SPEAKS)
    found = load_calibration("noise", model, record(model), samples=32)
    assert found.synthetic
    assert found.lifelike
    assert "drew itself" in found.source
    ids = found.batches[0]["ids"]
    assert ids.shape == (32, 128)  # not the small sizes that shapes were recorded at
    assert ((ids[:, 1:] - ids[:, :-1]) % TOKENS == 3).mean() > 0.9


def test_text_that_is_given_is_spoken_along() -> None:
    speaker, given = speaker_of(SPEAKS), feeds(64, 40)
    (found,) = respoken(speaker, [given], 0)
    before, after = given["ids"], found["ids"]
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    changed = after[:, 1:] != before[:, 1:]
    assert 0.6 * REPLACED < changed.mean() < REPLACED  # what is drawn may be what stood there
    said = (after[:, 1:] - before[:, :-1]) % TOKENS == 3  # by what was given before it
    assert said[changed].mean() > 0.9


@pytest.mark.parametrize(("length", "read"), [(150, 128), (40, 40)])
def test_passages_go_on_with_what_was_given(length: int, read: int) -> None:
    """Each begins with tokens of the text, here of two kinds, and is followed by another one."""
    given = {"ids": np.random.default_rng(0).integers(5, 7, (16, length))}
    found = passages(speaker_of(SPEAKS), [given], 0, 50)
    assert [f["ids"].shape for f in found] == [(16, read)] * 3
    for ids in (f["ids"][:, start : start + min(read, 64)] for f in found for start in range(0, read, 64)):
        assert set(ids[:, :BEGUN].ravel()) == {5, 6}
        after = ids[:, BEGUN - 1 :]
        assert ((after[:, 1:] - after[:, :-1]) % TOKENS == 3).mean() > 0.9


def test_passages_cost_no_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "graphprune.calibrate.sampled.PASSAGES_WORK", 1.5 * 16 * 20 * 20 / 2 * TOKENS * TOKENS
    )
    assert len(passages(speaker_of(SPEAKS), [feeds()], 0, 1000)) == 1


def test_where_not_every_sequence_can_be_read_nothing_is_said() -> None:
    zeros = ", ".join(["0"] * 20)
    text = SPEAKS.replace(
        "scores = Gather(next, ids)",
        f"one = Gather(next, ids) bias = Constant<value = float[1, 20, 1] {{{zeros}}}>() scores = Add(one, bias)",
    )
    speaker = speaker_of(text)
    assert speaker.free  # it says so, and yet reads twenty tokens or one
    assert draw_sequences(speaker, [feeds()], 0) == ()
    assert passages(speaker, [feeds()], 0, 1000) == ()
    assert len(respoken(speaker, [feeds()], 0)) == 1
    assert respoken(speaker, [feeds(), feeds(length=19)], 0) == ()
