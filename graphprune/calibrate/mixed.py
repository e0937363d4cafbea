"""More inputs of the kind that was given: each is mixed with another one.

A network that is fitted to the outputs of another needs no labels, so it can read what nobody has labelled;
inputs in between are where distillation on few inputs gains most (Beyer et al., "Knowledge distillation: a
good teacher is patient and consistent", CVPR 2022, with mixup of Zhang et al., ICLR 2018). Pictures are also
moved, stretched and mirrored before, and some have a piece of another one laid in instead (CutMix, Yun et
al., ICCV 2019). Tokens have nothing in between: some of them are replaced by those of another input, and some
sequences are made up altogether, which shows a recurrent network more of its states.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.calibrate.partners import Pool
from graphprune.calibrate.pictures import spatial_axes
from graphprune.calibrate.tokens import may_be_sequences, sequences

Array = NDArray[Any]
Feeds = Mapping[str, Array]
FARTHEST = 0.1  # of a side, that a picture is moved at most
STRETCHED = 1.25  # times a side, or as much shorter
CHANGED = 0.5  # of the pictures are moved; as many stretched, mirrored, and laid into others
MADE_UP = 0.3  # of the sequences of tokens


def mixed(
    batches: Sequence[Feeds], tables: Mapping[str, int], seed: int, varied: bool = True
) -> Iterator[Feeds]:
    """Feeds that are each made of two of those given, without an end.

    Args:
        batches: valid feeds.
        tables: how many rows the tables have that inputs index, by input.
        seed: equal seeds give equal feeds.
        varied: change pictures in other ways too.

    Yields:
        Batches of the shapes of those that have something to be mixed with; none if the inputs are not
        samples along the first axis of each.
    """
    first = batches[0]
    if not all(a.ndim for a in first.values()) or len({len(a) for a in first.values()}) != 1:
        return
    random = np.random.default_rng((seed, len(batches)))
    tokens = {n: k for n, k in tables.items() if first[n].ndim > 1 and not _all_alike(n, batches)}
    groups = _alike(batches)
    pools = [Pool(group) for group in groups]
    while pools:
        for pool in pools:
            for number, one in enumerate(pool.batches):
                other = pool.partners(number, random)
                share = random.random(pool.size)
                yield {
                    n: _mixed(a, other[n], share, tokens.get(n, 0), random, varied) for n, a in one.items()
                }


def _alike(batches: Sequence[Feeds]) -> list[list[Feeds]]:
    """Batches of the same shapes, where there is more than one sample."""
    found: dict[object, list[Feeds]] = {}
    for feeds in batches:
        found.setdefault(tuple((n, a.shape) for n, a in feeds.items()), []).append(feeds)
    return [g for g in found.values() if len(g) * len(next(iter(g[0].values()))) > 1]


def _all_alike(name: str, batches: Sequence[Feeds]) -> bool:
    """Whether every sample has the same values, as positions have."""
    return all(
        len(b[name]) == 0 or bool((b[name] == batches[0][name][:1]).all())
        for b in batches
        if b[name].shape[1:] == batches[0][name].shape[1:]
    )


def _mixed(
    first: Array, second: Array, share: Array, tokens: int, random: np.random.Generator, varied: bool
) -> Array:
    """Numbers in between; tokens, below a bound, of another sample, wherever they stand there."""
    share = share.reshape(-1, *[1] * (first.ndim - 1))
    if first.dtype.kind == "f":
        if varied and (axes := spatial_axes(first.shape)):
            first, second = (_elsewhere(a, axes, random) for a in (first, second))
            share = np.where(random.random(share.shape) < CHANGED, _pieces(share, first, axes, random), share)
        return np.asarray((share * first + (1 - share) * second).astype(first.dtype))
    if not tokens:
        return first
    taken = np.take_along_axis(second, random.integers(0, first.shape[1], first.shape), axis=1)
    found = np.where(random.random(first.shape) < share, first, taken)
    if may_be_sequences(first):
        made = sequences((len(first), first.shape[1]), tokens, random)
        found = np.where(random.random((len(first), 1)) < MADE_UP, made, found)
    return np.asarray(found, first.dtype)


def _elsewhere(pictures: Array, axes: tuple[int, ...], random: np.random.Generator) -> Array:
    """Pictures moved and stretched along their sides, their edges repeated, and mirrored."""
    found = np.empty_like(pictures)
    for k, picture in enumerate(pictures):
        moved = FARTHEST if random.random() < CHANGED else 0
        widest = STRETCHED if random.random() < CHANGED else 1
        for axis in (a - 1 for a in axes):
            size = picture.shape[axis]
            most, middle = int(moved * size), (size - 1) / 2
            places = middle + (np.arange(size) - middle) * widest ** random.uniform(-1, 1)
            places = np.rint(places).astype(int) + random.integers(-most, most + 1)
            picture = np.take(picture, np.clip(places, 0, size - 1), axis)
        found[k] = np.flip(picture, axes[-1] - 1) if random.random() < CHANGED else picture
    return found


def _pieces(share: Array, pictures: Array, axes: tuple[int, ...], random: np.random.Generator) -> Array:
    """For each sample a rectangle of zeros that leaves about its share of ones."""
    found = np.ones([n if k in (0, *axes) else 1 for k, n in enumerate(pictures.shape)], pictures.dtype)
    for one, left in zip(found, share.ravel(), strict=True):
        inside = [slice(None)] * one.ndim
        for axis in (a - 1 for a in axes):
            size = one.shape[axis]
            long = round(size * math.sqrt(1 - left))
            start = int(random.integers(0, size - long + 1))
            inside[axis] = slice(start, start + long)
        one[tuple(inside)] = 0
    return found
