"""Sequences of tokens that a language model makes up itself.

A network that gives a score for each token of its vocabulary at each position knows what its inputs look
like: what it draws, it was trained to read. Sources: LLM-QAT (Liu et al., Findings of ACL 2024) and
self-calibration (Williams et al., 2024), which calibrate language models on text of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphprune.calibrate.speaker import SHORTEST, Array, Feeds, Speaker
from graphprune.errors import ModelError
from graphprune.runtime.session import Session, open_session

WORK = 2e12  # multiply-adds of all drawing, at most
PASSAGES_WORK = 3 * WORK  # the same of passages: more steps on fewer of them learn these by heart
REPLACED = 0.3  # of the tokens, where a model speaks along
BEGUN, PASSAGE = 8, 64  # tokens that a passage begins with, and of all of it
_ENOUGH = 4  # batches, else shorter sequences are drawn
_FIRST = 8  # positions on which the average is taken


def draw_sequences(speaker: Speaker, batches: Sequence[Feeds], seed: int) -> tuple[Feeds, ...]:
    """Feeds whose tokens the model has drawn itself, one after the other.

    Args:
        speaker: the model.
        batches: valid feeds with random tokens; their shapes, and what else the model reads, are kept.
        seed: equal seeds give equal tokens.

    Returns:
        As many batches as the work allows; none if it does not run on every length.
    """
    random, shorter = np.random.default_rng(seed), _affordable(speaker, batches)
    return _said_by(speaker, lambda session: [_drawn(session, speaker, f, random) for f in shorter])


def respoken(speaker: Speaker, batches: Sequence[Feeds], seed: int, times: int = 1) -> tuple[Feeds, ...]:
    """Feeds with some of their tokens replaced by what the model says after those before.

    What comes out is text of the kind that was given, but text that nobody has written: more to learn from,
    at the cost of running the model once for each time.

    Args:
        speaker: the model.
        batches: valid feeds.
        seed: equal seeds give equal tokens.
        times: how often all batches are spoken along.

    Returns:
        As many batches as were given, that many times; none if not all of them can be read.
    """
    draws = [np.random.default_rng((seed, k)) for k in range(times)]
    return _said_by(
        speaker, lambda session: [_replaced(session, speaker, f, random) for random in draws for f in batches]
    )


def passages(speaker: Speaker, batches: Sequence[Feeds], seed: int, most: int) -> tuple[Feeds, ...]:
    """Feeds of passages that the model goes on with where those given leave off, several to a sequence.

    Unlike tokens that are replaced one by one, they hang together; short ones cost little.

    Args:
        speaker: the model.
        batches: valid feeds.
        seed: equal seeds give equal tokens.
        most: sequences at most.

    Returns:
        As many batches as the work allows; none if the model reads anything beside tokens and their
        positions, or not every length.
    """
    random, first = np.random.default_rng((seed, PASSAGE)), batches[0]
    tokens = first[speaker.tokens]
    count, length = tokens.shape
    others = [n for n in first if n != speaker.tokens]
    if not speaker.free or not all(_counts(n, first[n], tokens) for n in others):
        return ()
    long = min(PASSAGE, length)
    times = length // long
    one, whole = _shortened(first, length, long), _shortened(first, length, long * times)
    text = np.concatenate([b[speaker.tokens] for b in batches if b[speaker.tokens].shape == tokens.shape])
    work = count * times * long * long / 2 * speaker.weights
    affordable = min(int(PASSAGES_WORK / work), most // count)

    def batch(session: Session) -> Feeds:
        rows = [_passages(session, speaker, one, text, random) for _ in range(times)]
        return {**whole, speaker.tokens: np.hstack(rows)}

    return _said_by(speaker, lambda session: [batch(session) for _ in range(affordable)])


def _passages(
    session: Session, speaker: Speaker, feeds: Feeds, text: Array, random: np.random.Generator
) -> Array:
    """One for each sequence, begun with tokens from somewhere in a text, `(sequences, positions)`."""
    tokens = np.zeros_like(feeds[speaker.tokens])
    rows = random.integers(0, len(text), (len(tokens), 1))
    starts = random.integers(0, text.shape[1] - BEGUN + 1, (len(tokens), 1))
    tokens[:, :BEGUN] = text[rows, starts + np.arange(BEGUN)]
    return _gone_on(session, speaker, {**feeds, speaker.tokens: tokens}, BEGUN, random)[speaker.tokens]


def _said_by(speaker: Speaker, say: Callable[[Session], list[Feeds]]) -> tuple[Feeds, ...]:
    """What a model says; nothing if it does not run on every length, say."""
    try:
        with open_session(speaker.model) as session:
            return tuple(say(session))
    except ModelError:
        return ()


def _replaced(session: Session, speaker: Speaker, feeds: Feeds, random: np.random.Generator) -> Feeds:
    tokens = feeds[speaker.tokens]
    found = session.run(feeds, [speaker.scores])[speaker.scores].astype(np.float64)
    said = _as_scores(found)[:, :-1, : speaker.bound]
    drawn = (said + random.gumbel(size=said.shape)).argmax(axis=-1).astype(tokens.dtype)
    chosen = random.random(drawn.shape) < REPLACED
    after = np.where(chosen, drawn, tokens[:, 1:])
    return {**feeds, speaker.tokens: np.concatenate([tokens[:, :1], after], axis=1)}


def _affordable(speaker: Speaker, batches: Sequence[Feeds]) -> list[Feeds]:
    """As many batches as the work allows, of shorter sequences where those would be few."""
    count, length = batches[0][speaker.tokens].shape
    wanted = length
    while True:
        steps = wanted * wanted / 2 if speaker.free else wanted * length
        most = int(WORK / (count * steps * speaker.weights))
        if most >= min(_ENOUGH, len(batches)) or not speaker.free or wanted // 2 < SHORTEST:
            return [_shortened(feeds, length, wanted) for feeds in batches[:most]]
        wanted //= 2


def _drawn(session: Session, speaker: Speaker, feeds: Feeds, random: np.random.Generator) -> Feeds:
    """Each token by what the model says of it after those before; the first by what it says on average."""
    tokens = feeds[speaker.tokens].copy()
    feeds = {**feeds, speaker.tokens: tokens}
    first = min(_FIRST, tokens.shape[1])
    usual = _chances(_said(session, speaker, feeds, first, slice(first))).mean(axis=(0, 1))
    tokens[:, 0] = random.choice(speaker.bound, len(tokens), p=usual / usual.sum())
    return _gone_on(session, speaker, feeds, 1, random)


def _gone_on(
    session: Session, speaker: Speaker, feeds: Feeds, start: int, random: np.random.Generator
) -> Feeds:
    """The tokens before a position as they are, those behind it by what the model says of them."""
    tokens = feeds[speaker.tokens].copy()
    feeds = {n: _in_order(a) if _counts(n, a, tokens) else a for n, a in feeds.items()}
    feeds[speaker.tokens] = tokens
    for position in range(start, tokens.shape[1]):
        said = _said(session, speaker, feeds, position, slice(position - 1, position))[:, 0]
        tokens[:, position] = (said + random.gumbel(size=said.shape)).argmax(axis=1)
    return feeds


def _said(session: Session, speaker: Speaker, feeds: Feeds, length: int, wanted: slice) -> Array:
    """Scores after some of the first tokens, `(sequences, positions, bound)`."""
    read = _shortened(feeds, feeds[speaker.tokens].shape[1], length) if speaker.free else feeds
    found = session.run(read, [speaker.scores])[speaker.scores][:, wanted]
    return _as_scores(found.astype(np.float64))[..., : speaker.bound]


def _shortened(feeds: Feeds, length: int, wanted: int) -> Feeds:
    """The first positions of everything that has one value for each position."""
    return {n: a[:, :wanted] if a.ndim > 1 and a.shape[1] == length else a for n, a in feeds.items()}


def _counts(name: str, array: Array, tokens: Array) -> bool:
    """Whether an input says where each token stands."""
    return "position" in name.lower() and array.shape == tokens.shape


def _in_order(array: Array) -> Array:
    """Positions from the first to the last."""
    return np.broadcast_to(np.arange(array.shape[1], dtype=array.dtype), array.shape)


def _as_scores(given: Array) -> Array:
    """Logits; of shares of one their logarithm."""
    shares = given.min() >= 0 and np.allclose(given.sum(axis=-1), 1, atol=1e-3)
    return np.log(np.maximum(given, 1e-30)) if shares else given


def _chances(scores: Array) -> Array:
    """Softmax over the last axis."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    found: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return found
