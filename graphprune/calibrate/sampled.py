"""Sequences of tokens that a language model makes up itself.

A network that gives a score for each token of its vocabulary at each position knows what its inputs look
like: what it draws, it was trained to read. Sources: LLM-QAT (Liu et al., Findings of ACL 2024) and
self-calibration (Williams et al., 2024), which calibrate language models on text of their own. Which network
is one is found out, not asked: by the shapes of inputs and outputs, and by whether a token changes what
stands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.errors import ModelError
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.session import Session, open_session

Array = NDArray[Any]
Feeds = Mapping[str, Array]

WORK = 2e12  # multiply-adds of all drawing, at most
PASSAGES_WORK = 3 * WORK  # the same of passages: more steps on fewer of them learn these by heart
REPLACED = 0.3  # of the tokens, where a model speaks along
BEGUN, PASSAGE = 8, 64  # tokens that a passage begins with, and of all of it
_ENOUGH = 4  # batches, else shorter sequences are drawn
_FIRST = 8  # positions on which the average is taken
_SHORTEST = 16  # positions
_ROUNDING = 1e-3  # of the spread of the scores


@dataclass(frozen=True, slots=True)
class Speaker:
    """A causal language model.

    Attributes:
        tokens: the input of token ids, `(batch, positions)`.
        scores: the output of scores of the next token, `(batch, positions, vocabulary)`.
        bound: ids stay below it.
        free: sequences may have any length.
    """

    tokens: str
    scores: str
    bound: int
    free: bool


def speaks(model: ir.Model, feeds: Feeds, bounds: Mapping[str, int]) -> bool:
    """Whether a model is a causal language model.

    Args:
        model: any model.
        feeds: valid ones.
        bounds: how many rows the tables have that inputs index.
    """
    return bool(_spoken(model, feeds, bounds, lambda *_: (feeds,)))


def draw_sequences(
    model: ir.Model, batches: Sequence[Feeds], bounds: Mapping[str, int], seed: int
) -> tuple[Feeds, ...]:
    """Feeds whose tokens the model has drawn itself, one after the other.

    Args:
        model: any model.
        batches: valid feeds with random tokens; their shapes, and what else the model reads, are kept.
        bounds: how many rows the tables have that inputs index.
        seed: equal seeds give equal tokens.

    Returns:
        As many batches as the work allows; none if the model does not speak.
    """
    random = np.random.default_rng(seed)

    def drawn(session: Session, speaker: Speaker) -> tuple[Feeds, ...]:
        shorter = _affordable(speaker, batches, _weights(model))
        return tuple(_drawn(session, speaker, feeds, random) for feeds in shorter)

    return _spoken(model, batches[0], bounds, drawn)


def respoken(
    model: ir.Model, batches: Sequence[Feeds], bounds: Mapping[str, int], seed: int, times: int = 1
) -> tuple[Feeds, ...]:
    """Feeds with some of their tokens replaced by what the model says after those before.

    What comes out is text of the kind that was given, but text that nobody has written: more to learn from,
    at the cost of running the model once for each time.

    Args:
        model: any model.
        batches: valid feeds.
        bounds: how many rows the tables have that inputs index.
        seed: equal seeds give equal tokens.
        times: how often all batches are spoken along.

    Returns:
        As many batches as were given, that many times; none if the model does not speak.
    """

    def replaced(session: Session, speaker: Speaker) -> tuple[Feeds, ...]:
        draws = [np.random.default_rng((seed, k)) for k in range(times)]
        return tuple(_replaced(session, speaker, feeds, random) for random in draws for feeds in batches)

    return _spoken(model, batches[0], bounds, replaced)


def passages(
    model: ir.Model, batches: Sequence[Feeds], bounds: Mapping[str, int], seed: int, most: int
) -> tuple[Feeds, ...]:
    """Feeds of passages that the model goes on with where those given leave off, several to a sequence.

    Unlike tokens that are replaced one by one, they hang together; short ones cost little.

    Args:
        model: any model.
        batches: valid feeds.
        bounds: how many rows the tables have that inputs index.
        seed: equal seeds give equal tokens.
        most: sequences at most.

    Returns:
        As many batches as the work allows; none if the model does not speak, or reads anything beside tokens
        and their positions.
    """
    random = np.random.default_rng((seed, PASSAGE))

    def said(session: Session, speaker: Speaker) -> tuple[Feeds, ...]:
        first = batches[0]
        tokens = first[speaker.tokens]
        others = [n for n in first if n != speaker.tokens]
        if not speaker.free or not all(_counts(n, first[n], tokens) for n in others):
            return ()
        long = min(PASSAGE, tokens.shape[1])
        times = tokens.shape[1] // long
        work = len(tokens) * times * long * long / 2 * max(1, _weights(model))
        text = np.concatenate([b[speaker.tokens] for b in batches if b[speaker.tokens].shape == tokens.shape])
        feeds = _shortened(first, tokens.shape[1], long)
        found = []
        for _ in range(min(int(PASSAGES_WORK / work), most // len(tokens))):
            rows = [_passages(session, speaker, feeds, text, random) for _ in range(times)]
            found.append(
                {**_shortened(first, tokens.shape[1], long * times), speaker.tokens: np.hstack(rows)}
            )
        return tuple(found)

    return _spoken(model, batches[0], bounds, said)


def _passages(
    session: Session, speaker: Speaker, feeds: Feeds, text: Array, random: np.random.Generator
) -> Array:
    """One for each sequence, begun with tokens from somewhere in a text, `(sequences, positions)`."""
    tokens = np.zeros_like(feeds[speaker.tokens])
    rows = random.integers(0, len(text), (len(tokens), 1))
    starts = random.integers(0, text.shape[1] - BEGUN + 1, (len(tokens), 1))
    tokens[:, :BEGUN] = text[rows, starts + np.arange(BEGUN)]
    return _gone_on(session, speaker, {**feeds, speaker.tokens: tokens}, BEGUN, random)[speaker.tokens]


def _spoken(
    model: ir.Model,
    feeds: Feeds,
    bounds: Mapping[str, int],
    say: Callable[[Session, Speaker], tuple[Feeds, ...]],
) -> tuple[Feeds, ...]:
    """What a model says; nothing if it does not speak."""
    if not may_speak(model) or not _fit(feeds):
        return ()
    try:
        with open_session(model) as session:
            speaker = find_speaker(session, feeds, bounds)
            return () if speaker is None else say(session, speaker)
    except ModelError:  # it does not run on every length, say
        return ()


def _replaced(session: Session, speaker: Speaker, feeds: Feeds, random: np.random.Generator) -> Feeds:
    tokens = feeds[speaker.tokens]
    found = session.run(feeds, [speaker.scores])[speaker.scores].astype(np.float64)
    said = _as_scores(found)[:, :-1, : speaker.bound]
    drawn = (said + random.gumbel(size=said.shape)).argmax(axis=-1).astype(tokens.dtype)
    chosen = random.random(drawn.shape) < REPLACED
    after = np.where(chosen, drawn, tokens[:, 1:])
    return {**feeds, speaker.tokens: np.concatenate([tokens[:, :1], after], axis=1)}


def may_speak(model: ir.Model) -> bool:
    """Whether there are whole numbers to read, and an output with an axis more than tokens have."""
    ids = [v for v in real_inputs(model) if v.dtype is not None and v.dtype.is_integer()]
    return bool(ids) and 3 in {len(v.shape) for v in model.graph.outputs if v.shape is not None}


def _fit(feeds: Feeds) -> bool:
    """Whether all inputs are whole numbers with the batch first."""
    return len({a.shape[:1] for a in feeds.values()}) == 1 and all(
        a.dtype.kind in "iub" for a in feeds.values()
    )


def _affordable(speaker: Speaker, batches: Sequence[Feeds], weights: int) -> list[Feeds]:
    """As many batches as the work allows, of shorter sequences where those would be few."""
    count, length = batches[0][speaker.tokens].shape
    wanted = length
    while True:
        steps = wanted * wanted / 2 if speaker.free else wanted * length
        most = int(WORK / (count * steps * max(1, weights)))
        if most >= min(_ENOUGH, len(batches)) or not speaker.free or wanted // 2 < _SHORTEST:
            return [_shortened(feeds, length, wanted) for feeds in batches[:most]]
        wanted //= 2


def find_speaker(session: Session, feeds: Feeds, bounds: Mapping[str, int]) -> Speaker | None:
    """How a model speaks, found out by running it; None if it does not.

    Args:
        session: the model.
        feeds: valid ones.
        bounds: how many rows the tables have that inputs index.
    """
    before = session.run(feeds)
    free = {p.name for p in session.inputs if len(p.shape) > 1 and not isinstance(p.shape[1], int)}
    for name, array in feeds.items():
        bound = bounds.get(name, 0)
        if array.ndim != 2 or array.shape[1] < _SHORTEST or not bound:
            continue
        for output, scores in before.items():
            if scores.dtype.kind != "f" or scores.ndim != 3 or scores.shape[:2] != array.shape:
                continue
            if 2 * scores.shape[2] > bound and _looks_back_only(session, feeds, scores, name, output):
                return Speaker(name, output, min(bound, scores.shape[2]), name in free)
    return None


def _looks_back_only(session: Session, feeds: Feeds, before: Array, tokens: str, scores: str) -> bool:
    """Whether tokens change what stands at their place and behind it, and nothing before."""
    half = feeds[tokens].shape[1] // 2
    changed = feeds[tokens].copy()
    changed[:, half:] = np.roll(changed[:, half:], 1, axis=1)[::-1]
    after = session.run({**feeds, tokens: changed}, [scores])[scores]
    moved = np.abs(after.astype(np.float64) - before).max(axis=(0, 2))
    least = _ROUNDING * float(before.std())
    return bool(moved[:half].max() <= least < moved[half:].max())


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


def _weights(model: ir.Model) -> int:
    """How many there are: about the multiply-adds for one token."""
    return sum(
        int(np.prod(v.shape.numpy())) for v in model.graph.initializers.values() if v.shape is not None
    )
