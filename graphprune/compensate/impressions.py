"""Moves made-up pictures until a network sees in them what it was trained on.

Whatever pictures are made of, a classifier takes most of them for a few of its classes, and is sure of few:
its features for the others are hardly stirred, so what they need looks as if it could go. Gradients at the
input move each picture towards a class of its own: class impressions (Mopuri et al., ECCV 2018; Nayak et
al., "Zero-Shot Knowledge Distillation in Deep Networks", ICML 2019). Channels, too, are stirred otherwise
than in training, the more the deeper: the same gradients bring their means and spreads over a batch to what
normalisation has left in the network of those (DeepInversion: Yin et al., "Dreaming to Distill", CVPR 2020).
Steps are taken in frequencies, low ones first, and with small shifts (Olah et al., "Feature Visualization",
Distill 2017); otherwise what comes is noise that only this network believes in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import scipy.special
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.analysis.facts import NodeFacts
from graphprune.calibrate.pictures import spatial_axes
from graphprune.calibrate.pixels import Pixels, find_pixels
from graphprune.compensate.descent import Descent, Rows
from graphprune.compensate.likeness import Likeness
from graphprune.compensate.optimisers import Adam
from graphprune.compensate.stretch import find_way
from graphprune.compensate.walk import Walk
from graphprune.statistics import ChannelMoments

Array = NDArray[Any]
Feeds = Mapping[str, Array]

WORK = 200_000_000_000  # multiply-adds of all steps forwards, elements counted in
STEPS, FEWEST_STEPS = 80, 20
LEAST = 0.5  # of the batches, that are moved if any are
MATCHED = 0.3  # weight of a layer's channels beside the class of each picture
RATE = 0.01  # of the first steps, for each frequency of a picture whose variance is about one
SURE = 0.95  # what a picture should be taken for its class with
SHIFT = 1  # pixels, at most
_CLASSES = (2, 10_000)
_FLAT = 0.1  # of the spread that channels have on average: one with less is as far from its moments as that
_ROUNDING = 1e-3  # of that unit, which no spread is below


def impressed(
    model: ir.Model,
    analysis: Analysis,
    batches: Sequence[Feeds],
    moments: Callable[[], Mapping[str, ChannelMoments]],
    seed: int,
    budget: int,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Feeds, ...] | None:
    """Made-up pictures, moved towards classes and towards what channels looked like in training.

    Args:
        model: a normalised model.
        analysis: of that model.
        batches: made-up inputs, all of the same shapes.
        moments: gives those of channels in training, by tensor; asked where the work is not too much.
        seed: of the classes.
        budget: bytes of activations to hold in memory.
        say: told how many batches have been moved, of how many.

    Returns:
        As many batches, up to half of them as they were where the work would be too much; None where even
        half would be, the model reads no picture that gradients reach, or neither tells classes nor has
        moments.
    """
    pictures = [n for n, a in batches[0].items() if a.dtype == np.float32 and spatial_axes(a.shape)]
    nodes, ends = find_way(analysis.facts)
    if len(pictures) != 1 or not any(pictures[0] in n.inputs for n in nodes):
        return None
    made = {o for n in nodes for o in n.outputs}
    weights = model.graph.initializers
    read = dict.fromkeys(n for node in nodes for n in node.inputs if n)
    beside = [n for n in read if n not in made and n not in weights and n != pictures[0]]
    told = next(v for v in model.graph.inputs if v.name == pictures[0])
    work = _Work(nodes, pictures[0], find_pixels(told) or Pixels(), beside, tuple(ends))
    with contextlib.closing(Walk(model, analysis.facts, batches[:1], budget)) as walk:
        affordable = work.affordable(walk)
    count = min(len(batches), affordable // FEWEST_STEPS)
    if count < LEAST * len(batches):
        return None
    known = {n: m for n, m in moments().items() if n in made}
    chosen, rest = batches[:count], batches[count:]
    with contextlib.closing(Walk(model, analysis.facts, chosen, budget)) as walk:
        moved = work.moved(walk, chosen, known, min(STEPS, affordable // count), seed, say)
    return None if moved is None else (*moved, *rest)


@dataclass(frozen=True, slots=True)
class _Work:
    """What moves pictures.

    Attributes:
        nodes: that gradients pass, in order.
        picture: the input that moves.
        pixels: of it.
        beside: what else they read.
        ends: what they give.
    """

    nodes: Sequence[NodeFacts]
    picture: str
    pixels: Pixels
    beside: Sequence[str]
    ends: tuple[str, ...]

    def affordable(self, walk: Walk) -> int:
        """How many steps of one batch each."""
        walk.advance([self.picture, *self.beside], {})
        row = Rows({n: walk.get(n, 0) for n in self.beside}, {})
        first = {self.picture: walk.get(self.picture, 0)}
        with contextlib.closing(Descent(walk.builder, self.nodes, row, first, {})) as descent:
            return WORK // max(1, descent.work(row, first))

    def moved(
        self,
        walk: Walk,
        batches: Sequence[Feeds],
        moments: Mapping[str, ChannelMoments],
        steps: int,
        seed: int,
        say: Callable[[int, int], None],
    ) -> tuple[Feeds, ...] | None:
        """The batches after some steps; None where there is nothing to move them towards."""
        first, end = {self.picture: batches[0][self.picture]}, self.ends[0]
        walk.advance([self.picture, end, *self.beside], {})
        scores = [walk.get(end, k) for k in range(len(batches))]
        goals: dict[str, Likeness] = dict.fromkeys(moments, _Channels())
        targets: list[dict[str, Array]] = [dict(moments) for _ in batches]
        if len(self.ends) == 1 and _tell_classes(scores):
            goals[end] = _Classes()
            for k, (target, found) in enumerate(zip(targets, scores, strict=True)):
                target[end] = _wanted(found, (seed, k))
        if not goals:
            return None
        rows = [Rows({n: walk.get(n, k) for n in self.beside}, target) for k, target in enumerate(targets)]
        with contextlib.closing(Descent(walk.builder, self.nodes, rows[0], first, goals)) as descent:
            if not descent.fits([Rows(rows[0].feeds, {end: scores[0]})], first):
                return None
            moved = []
            for k, (row, feeds) in enumerate(zip(rows, batches, strict=True)):
                say(k, len(batches))
                random = np.random.default_rng((seed, k))
                now = self._towards(descent, row, feeds[self.picture], steps, random)
                moved.append({**feeds, self.picture: now})
            return tuple(moved)

    def _towards(
        self, descent: Descent, row: Rows, pictures: Array, steps: int, random: np.random.Generator
    ) -> Array:
        """Pictures after some steps; as they were where gradients are not finite."""
        axes = spatial_axes(pictures.shape)
        heights = _heights(pictures.shape, axes)
        sizes = [pictures.shape[a] for a in axes]
        moved: Array = np.zeros_like(np.fft.rfft2(pictures, axes=axes), np.complex64)
        adam = Adam()
        now = pictures
        for step in range(1, steps + 1):
            shift = tuple(random.integers(-SHIFT, SHIFT + 1, 2).tolist())
            slope = descent.gradient(row, {self.picture: np.roll(now, shift, axes)})[self.picture]
            if not np.isfinite(slope).all():
                return pictures
            back = np.roll(slope, tuple(-s for s in shift), axes)
            waves = np.ascontiguousarray(np.fft.rfft2(back, axes=axes, norm="ortho") * heights, np.complex64)
            rate = RATE * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            both = adam.step(waves.view(np.float32))  # both parts of each number, side by side
            moved = moved - np.complex64(rate) * both.view(np.complex64)
            change = np.fft.irfft2(moved * heights, s=sizes, axes=axes, norm="ortho")
            now = self.pixels.inside(pictures + change * self.pixels.spread).astype(pictures.dtype)
        return now


def _tell_classes(scores: Sequence[Array]) -> bool:
    """Whether there is one row of scores for each sample, and these tell classes from one another."""
    shapes = {s.shape for s in scores}
    shape = scores[0].shape
    if len(shapes) > 1 or len(shape) != 2 or not _CLASSES[0] <= shape[1] <= _CLASSES[1]:
        return False
    return all(np.isfinite(s).all() for s in scores) and Likeness.of_scores(scores, -1).information > 0


def _wanted(scores: Array, seed: tuple[int, int]) -> Array:
    """Shares of classes, most of it one class drawn for each sample."""
    count, classes = scores.shape
    found = np.full(scores.shape, (1 - SURE) / classes, np.float32)
    found[np.arange(count), np.random.default_rng(seed).integers(0, classes, count)] += SURE
    return found


@dataclass(frozen=True, slots=True)
class _Classes(Likeness):
    """Cross entropy of scores with wanted shares, summed over samples: each moves by itself."""

    variance: float = 1.0

    def slope(self, found: Array, target: Array) -> Array:
        """The gradient of what is lost."""
        return np.asarray(scipy.special.softmax(found, axis=-1) - target, found.dtype)


@dataclass(frozen=True, slots=True)
class _Channels(Likeness):
    """Squared distance of the channels of a batch from their moments, in spreads; as much for each sample."""

    variance: float = 1.0

    def slope(self, found: Array, target: Array) -> Array:
        """The gradient of what is lost, `target` being means and spreads, `(2, channels)`."""
        axes, shape = (0, *range(2, found.ndim)), (1, -1, *(1,) * (found.ndim - 2))
        mean = found.mean(axis=axes, dtype=np.float32)
        centred = found - mean.reshape(shape)
        unit = np.maximum(target[1], _FLAT * max(float(target[1].mean()), 1e-12))
        spread = np.sqrt(np.square(centred).mean(axis=axes) + np.square(_ROUNDING * unit))
        aside, wider = (mean - target[0]) / unit**2, (spread - target[1]) / unit**2 / spread
        share = 2 * MATCHED * len(found) / found.size  # of one place; a mean over channels
        return np.asarray(share * (aside.reshape(shape) + wider.reshape(shape) * centred), found.dtype)


def _heights(shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """One over the frequency of each wave, as in photographs, to be multiplied with `rfft2` of pictures."""
    high, wide = (shape[a] for a in axes)
    frequencies = np.hypot(np.fft.fftfreq(high)[:, None], np.fft.rfftfreq(wide)[None])
    frequencies[0, 0] = 1 / max(high, wide)
    rest = [1] * len(shape)
    rest[axes[0]], rest[axes[1]] = frequencies.shape
    return np.asarray((1 / frequencies).reshape(rest), np.float32)
