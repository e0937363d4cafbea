"""More inputs of the kind that was given: each is mixed with another one.

A network that is fitted to the outputs of another needs no labels, so it can read what nobody has labelled;
inputs in between are where distillation on few inputs gains most (Beyer et al., "Knowledge distillation: a
good teacher is patient and consistent", CVPR 2022, with mixup of Zhang et al., ICLR 2018). Pictures are also
moved a little and mirrored before. Tokens have nothing in between: some of them are replaced by those of
another input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.calibrate.pictures import spatial_axes

Array = NDArray[Any]
Feeds = Mapping[str, Array]
FARTHEST = 0.1  # of a side, that a picture is moved at most
MOVED, MIRRORED = 0.5, 0.5  # of the pictures


def mixed(
    batches: Sequence[Feeds], tables: Mapping[str, int], seed: int, farthest: float = FARTHEST
) -> Iterator[Feeds]:
    """Feeds that are each made of two of those given, without an end.

    Args:
        batches: valid feeds.
        tables: how many rows the tables have that inputs index, by input.
        seed: equal seeds give equal feeds.
        farthest: share of a side that a picture is moved at most; 0 to neither move nor mirror any.

    Yields:
        Batches of the shapes of those that have something to be mixed with; none if the inputs are not
        samples along the first axis of each.
    """
    first = batches[0]
    if not all(a.ndim for a in first.values()) or len({len(a) for a in first.values()}) != 1:
        return
    random = np.random.default_rng((seed, len(batches)))
    tokens = {n for n in tables if first[n].ndim > 1 and not _all_alike(n, batches)}
    groups = _alike(batches)
    while groups:
        for group in groups:
            for one, other in zip(group, random.permutation(len(group)), strict=True):
                size = len(next(iter(one.values())))
                order, share = random.permutation(size), random.random(size)
                yield {
                    n: _mixed(a, group[other][n][order], share, n in tokens, random, farthest)
                    for n, a in one.items()
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
    first: Array, second: Array, share: Array, tokens: bool, random: np.random.Generator, farthest: float
) -> Array:
    """Numbers in between; tokens of another sample, wherever they stand there; anything else as it is."""
    share = share.reshape(-1, *[1] * (first.ndim - 1))
    if first.dtype.kind == "f":
        if farthest and (axes := spatial_axes(first.shape)):
            first, second = (_elsewhere(a, axes, farthest, random) for a in (first, second))
        return np.asarray((share * first + (1 - share) * second).astype(first.dtype))
    if not tokens:
        return first
    taken = np.take_along_axis(second, random.integers(0, first.shape[1], first.shape), axis=1)
    return np.asarray(np.where(random.random(first.shape) < share, first, taken))


def _elsewhere(pictures: Array, axes: tuple[int, ...], farthest: float, random: np.random.Generator) -> Array:
    """Half of the pictures moved along their sides, their edges repeated, and half of them mirrored."""
    found = np.empty_like(pictures)
    for k, picture in enumerate(pictures):
        moved = farthest if random.random() < MOVED else 0
        for axis in (a - 1 for a in axes):
            size = picture.shape[axis]
            most = int(moved * size)
            places = np.arange(size) + random.integers(-most, most + 1)
            picture = np.take(picture, np.clip(places, 0, size - 1), axis)
        found[k] = np.flip(picture, axes[-1] - 1) if random.random() < MIRRORED else picture
    return found
