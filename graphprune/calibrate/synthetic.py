"""Inputs made up for a model that comes without any.

What an input means decides how: token ids stay inside their table and masks are masks; a language model
draws its tokens itself (`sampled`); what looks like an image gets pictures (`pictures`) of the pixels that
the model wants (`pixels`), what looks like a sound sounds (`sounds`), what looks like a sequence numbers
that vary slowly (`signals`); states are those that the network comes to (`carried`); other real numbers are
normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.carried import STEPS, carry, find_states
from graphprune.calibrate.levels import first_levels
from graphprune.calibrate.likely import LENGTHS, likely_sizes
from graphprune.calibrate.pictures import PICTURES, pictures, spatial_axes
from graphprune.calibrate.pixels import Pixels, find_pixels
from graphprune.calibrate.sampled import draw_sequences
from graphprune.calibrate.signals import signals, slow_axes
from graphprune.calibrate.sounds import measured, sound_axis, sounds
from graphprune.calibrate.speaker import find_speaker, may_speak
from graphprune.calibrate.tokens import may_be_sequences, sequences
from graphprune.errors import CalibrationError
from graphprune.runtime.cached import find_lengths
from graphprune.runtime.dimensions import Sizes, real_inputs
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.meaning import Kind, meaning, value_flow
from graphprune.runtime.recording import Recording

KINDS = ("auto", "normal", "uniform", "images", "first-norm")
_NOISE = ("normal", "uniform", "first-norm")
SAMPLES = 384
_DRAWN = (128, *LENGTHS)  # tokens of a sequence that a model draws

Array = NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Inputs that were made up.

    Attributes:
        feeds: of the model.
        kinds: which kind of inputs each feed holds.
        how: in words, for reports.
        lifelike: the model itself says that they are what it was made for.
    """

    feeds: tuple[Feeds, ...]
    kinds: tuple[int, ...]
    how: str
    lifelike: bool = False


def make_up(model: ir.Model, recording: Recording, kind: str, samples: int | None, seed: int) -> MadeUp:
    """Feeds for a model, at least `samples` in all.

    Whole numbers stay inside the tables they index and masks stay masks, as in `random_feeds`.

    Args:
        model: the normalised model.
        recording: of its tensors.
        kind: "normal", "uniform", "images"; "first-norm": normal, with the levels at which the first batch
            normalisation sees its own statistics; or "auto": what the model draws itself, else what each
            input looks like (an image, a sound, a sequence, a state), else normal.
        samples: how many; None for 384, or half as many where the model draws them.
        seed: equal seeds give equal inputs.

    Raises:
        CalibrationError: "first-norm" was asked for and no normalisation says anything of an input.
    """
    if kind == "auto" and (drawn := _drawn(model, recording, samples or SAMPLES // 2, seed)):
        return MadeUp(drawn, (0,) * len(drawn), "sequences that the model drew itself", True)
    sizes, batch = likely_sizes(model, recording)
    maker = _Maker(model, recording, sizes, kind, batch, seed)
    count = -(-(samples or SAMPLES) // batch)
    kinds = tuple(PICTURES[number % len(PICTURES)] for number in range(count))
    feeds = tuple(maker.feed(k, kinds[k]) for k in range(count))
    told = {n: a for n, a in feeds[0].items() if n not in maker.plain}
    if kind in _NOISE or not any(maker.is_picture(n, a) for n, a in told.items()):
        kinds = (0,) * count
    if kind == "first-norm":
        feeds, norm = _levelled(model, feeds)
        return MadeUp(feeds, kinds, f'normal noise as the normalisation "{norm}" expects it')
    if kind != "auto":
        return MadeUp(feeds, kinds, f"{kind} noise")
    if maker.states:
        feeds = carry(model, feeds, maker.states)
    return MadeUp(feeds, kinds, maker.in_words(told))


def _levelled(model: ir.Model, feeds: Sequence[Feeds]) -> tuple[tuple[Feeds, ...], str]:
    """Feeds at the levels that the first normalisation names, and its name."""
    levels = first_levels(model, feeds[0])
    if levels is None:
        raise CalibrationError(
            "noise:first-norm: no BatchNormalization with statistics reads an input through nothing but "
            "products and sums (it may be folded into a convolution); use noise or noise:normal"
        )
    name = levels.input
    return tuple({**f, name: levels.applied(f[name])} for f in feeds), levels.norm


def _drawn(model: ir.Model, recording: Recording, samples: int, seed: int) -> tuple[Feeds, ...]:
    """What the model draws itself, if it does."""
    if not may_speak(model):
        return ()
    sizes, batch = likely_sizes(model, recording, _DRAWN)
    feeds = [random_feeds(model, sizes, seed * 1_000_003 + k) for k in range(-(-samples // batch))]
    speaker = find_speaker(model, feeds[0], bounds(model, sizes))
    return () if speaker is None else draw_sequences(speaker, feeds, seed)


def bounds(model: ir.Model, sizes: Sizes, flow: nx.DiGraph[ir.Value] | None = None) -> dict[str, int]:
    """How many rows the tables have that inputs of whole numbers index; `flow` if it is known."""
    flow = value_flow(model) if flow is None else flow
    meant = {str(v.name): meaning(v, flow, sizes) for v in real_inputs(model)}
    return {name: m.bound for name, m in meant.items() if m.kind is Kind.INDEX}


class _Maker:
    """Makes feeds for one model.

    Attributes:
        plain: caches, which stay plain numbers: they have four axes, and are no pictures.
        pixels: of pictures, where the model tells, by input.
        tables: how many rows the tables have that inputs index.
        sounds: the axis of samples of what looks like a sound, by input.
        states: the output that gives the next state, by input.
    """

    def __init__(
        self, model: ir.Model, recording: Recording, sizes: Sizes, kind: str, batch: int, seed: int
    ) -> None:
        self._model, self._sizes, self._kind, self._batch, self._seed = model, sizes, kind, batch, seed
        lengths = find_lengths(model)
        self.plain = frozenset() if lengths is None else lengths.caches
        self.pixels: dict[str, Pixels] = {}
        self.tables: Mapping[str, int] = {}
        self.sounds: dict[str, int] = {}
        self.states: Mapping[str, str] = {}
        self._recorded: dict[str, tuple[int, Array]] = {}
        if kind not in _NOISE:
            self._look(recording)

    def _look(self, recording: Recording) -> None:
        """Find out what the inputs are."""
        model, sizes = self._model, self._sizes
        flow, feeds = value_flow(model), random_feeds(model, sizes, self._seed)
        inputs = {str(v.name): v for v in real_inputs(model) if v.name not in self.plain}
        for name, value in inputs.items():
            if not spatial_axes(feeds[name].shape) or "mask" in name.lower():
                continue
            if feeds[name].dtype.kind == "f":
                plain = _is_plain(feeds[name])
            else:  # whole numbers that become real may be a mask as well, were it not for four axes
                plain = meaning(value, flow, sizes).kind in (Kind.NUMBER, Kind.MASK)
            if plain and (found := find_pixels(value)):
                self.pixels[name] = found
        if self._kind != "auto":
            return
        self.tables = bounds(model, sizes, flow)
        states = find_states(model, feeds, flow)
        self.states = {name: output for name, output in states.items() if name not in self.plain}
        for name, value in inputs.items():
            if name in self.states or not _is_plain(feeds[name]):
                continue
            axis = sound_axis(value, feeds[name].shape, recording.dynamic(name)[-1], flow)
            if axis is not None:
                self.sounds[name] = axis

    def feed(self, number: int, picture: int) -> Feeds:
        """One batch: which it is, and the kind of its pictures."""
        feeds = random_feeds(self._model, self._sizes, self._seed * 1_000_003 + number)
        random = np.random.default_rng((self._seed, number))
        changed = {
            n: a if n in self.plain or n in self.states else self._changed(n, a, (number, picture), random)
            for n, a in feeds.items()
        }
        written = {
            n: sequences((a.shape[0], a.shape[1]), self.tables[n], random).astype(a.dtype)
            for n, a in feeds.items()
            if n in self.tables and may_be_sequences(a)
        }
        return {**changed, **written}

    def _changed(self, name: str, array: Array, turn: tuple[int, int], random: np.random.Generator) -> Array:
        """Other numbers of the same shape; `turn` is which batch it is, and the kind of its pictures."""
        if name in self.pixels:
            standard = pictures(array.shape, spatial_axes(array.shape), random, turn[1])
            return self.pixels[name].of(standard).astype(array.dtype)
        if not _is_plain(array):
            return array
        if self._kind == "uniform":
            uniform = random.random(array.shape) * 2 * np.sqrt(3) - np.sqrt(3)
            return np.asarray(uniform.astype(array.dtype))
        if name in self.sounds:
            return self._sound(name, array, turn[0])
        if self._kind == "auto" and (axes := slow_axes(array.shape, self._batch)):
            return signals(array.shape, axes, random, turn[0]).astype(array.dtype)
        if self._kind in _NOISE or not self.is_picture(name, array):
            return array
        return pictures(array.shape, spatial_axes(array.shape), random, turn[1]).astype(array.dtype)

    def _sound(self, name: str, array: Array, number: int) -> Array:
        """A piece of a sound; where states are carried on, it goes on with the piece before."""
        pieces = STEPS if self.states else 1
        which, at = divmod(number, pieces)
        length = array.shape[self.sounds[name]]
        if self._recorded.get(name, (-1, array))[0] != which:
            make = measured if which % 2 else sounds
            random = np.random.default_rng((self._seed, which, list(self.sounds).index(name)))
            self._recorded[name] = which, make(len(array), length * pieces, random)
        piece = self._recorded[name][1][:, at * length : (at + 1) * length]
        return np.asarray(piece.reshape(array.shape), array.dtype)

    def is_picture(self, name: str, array: Array) -> bool:
        """Whether this input gets pictures."""
        return name in self.pixels or (array.dtype.kind == "f" and bool(spatial_axes(array.shape)))

    def in_words(self, feeds: Feeds) -> str:
        """What was made up, for reports."""
        real = {n: a for n, a in feeds.items() if a.dtype.kind == "f" and n not in self.states}
        others = {n: a for n, a in real.items() if n not in self.sounds}
        slow = [a for a in others.values() if slow_axes(a.shape, self._batch)]
        seen = [n for n, a in feeds.items() if self.is_picture(n, a)]
        said = ["pictures: textures, flat shapes, things"] if seen else []
        said += ["sounds"] if self.sounds else []
        said += ["sequences that vary slowly"] if slow else []
        said += ["states that the model comes to"] if self.states else []
        said += ["normal numbers"] if len(slow) < len(others.keys() - set(seen)) else []
        said += ["random token ids"] if self.tables else []
        return ", ".join(said) or "random numbers"


def _is_plain(array: Array) -> bool:
    """Whether these are real numbers, and no mask."""
    if array.dtype.kind != "f" or not array.size or not array.ndim:
        return False
    return not set(np.unique(array[:1].ravel()[:64])) <= {0.0, 1.0}
