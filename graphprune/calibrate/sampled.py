"""Sequences of tokens that a language model makes up itself.

A network that gives a score for each token of its vocabulary at each position knows what its inputs look
like: what it draws, it was trained to read. Sources: LLM-QAT (Liu et al., Findings of ACL 2024) and
self-calibration (Williams et al., 2024), which calibrate language models on text of their own. Which network
is one is found out, not asked: by the shapes of inputs and outputs, and by whether a token changes what
stands before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

WORK = 4e11  # multiply-adds of all drawing, about a minute on one core
_FIRST = 8  # positions on which the average is taken
_SHORTEST = 4  # positions
_ROUNDING = 1e-3  # of the spread of the scores


@dataclass(frozen=True, slots=True)
class Speaker:
    """A causal language model.

    Attributes:
        tokens: the input of token ids, `(batch, positions)`.
        scores: the output of scores of the next token, `(batch, positions, vocabulary)`.
        bound: ids stay below it.
    """

    tokens: str
    scores: str
    bound: int


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
    if not _may_speak(model, batches[0]):
        return ()
    random = np.random.default_rng(seed)
    with open_session(model) as session:
        speaker = find_speaker(session, batches[0], bounds)
        if speaker is None:
            return ()
        count, length = batches[0][speaker.tokens].shape
        most = int(WORK / (count * length * length * _weights(model) / 2))
        return tuple(_drawn(session, speaker, feeds, random) for feeds in batches[:most])


def _may_speak(model: ir.Model, feeds: Feeds) -> bool:
    """Whether there are whole numbers to read and an output with an axis more, all with the batch first."""
    ids = [v for v in real_inputs(model) if v.dtype is not None and v.dtype.is_integer()]
    ranks = {len(v.shape) for v in model.graph.outputs if v.shape is not None}
    return bool(ids) and 3 in ranks and len({a.shape[:1] for a in feeds.values()}) == 1


def find_speaker(session: Session, feeds: Feeds, bounds: Mapping[str, int]) -> Speaker | None:
    """How a model speaks, found out by running it; None if it does not.

    Args:
        session: the model.
        feeds: valid ones.
        bounds: how many rows the tables have that inputs index.
    """
    few = {n: a[:2] for n, a in feeds.items()}
    before = session.run(few)
    for name, array in few.items():
        bound = bounds.get(name, 0)
        if array.ndim != 2 or array.shape[1] < _SHORTEST or not bound:
            continue
        for output, scores in before.items():
            if scores.dtype.kind != "f" or scores.ndim != 3 or scores.shape[:2] != array.shape:
                continue
            if 2 * scores.shape[2] > bound and _looks_back_only(session, few, scores, name, output):
                return Speaker(name, output, min(bound, scores.shape[2]))
    return None


def _looks_back_only(session: Session, feeds: Feeds, before: Array, tokens: str, scores: str) -> bool:
    """Whether tokens change what stands at their place and behind it, and nothing before."""
    half = feeds[tokens].shape[1] // 2
    changed = feeds[tokens].copy()
    changed[:, half:] = np.roll(changed[:, half:], 1, axis=1)[::-1]
    try:
        after = session.run({**feeds, tokens: changed}, [scores])[scores]
    except ModelError:
        return False
    moved = np.abs(after.astype(np.float64) - before).max(axis=(0, 2))
    least = _ROUNDING * float(before.std())
    return bool(moved[:half].max() <= least < moved[half:].max())


def _drawn(session: Session, speaker: Speaker, feeds: Feeds, random: np.random.Generator) -> Feeds:
    """Each token by what the model says of it after those before; the first by what it says on average."""
    tokens = feeds[speaker.tokens].copy()
    free = not isinstance(next(p for p in session.inputs if p.name == speaker.tokens).shape[1], int)
    feeds = {**feeds, speaker.tokens: tokens}

    def scores(length: int) -> Array:
        """Of the tokens up to a position, `(sequences, positions, bound)`."""
        found = session.run(_shortened(feeds, tokens.shape[1], length) if free else feeds, [speaker.scores])
        return found[speaker.scores][..., : speaker.bound].astype(np.float64)

    usual = _chances(scores(min(_FIRST, tokens.shape[1]))).mean(axis=(0, 1))
    tokens[:, 0] = random.choice(speaker.bound, len(tokens), p=usual / usual.sum())
    for position in range(1, tokens.shape[1]):
        said = scores(position)[:, position - 1]
        tokens[:, position] = (said + random.gumbel(size=said.shape)).argmax(axis=1)
    return feeds


def _shortened(feeds: Feeds, length: int, wanted: int) -> Feeds:
    """The first positions of everything that has one value for each position."""
    return {n: a[:, :wanted] if a.ndim > 1 and a.shape[1] == length else a for n, a in feeds.items()}


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
