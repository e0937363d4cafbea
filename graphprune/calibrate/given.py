"""The sizes that a user's inputs have, and some of them, read before the model has been watched running."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.batches import split
from graphprune.calibrate.calibration import checked, element_types, read_entries
from graphprune.calibrate.fitting import named
from graphprune.calibrate.request import is_noise
from graphprune.errors import CalibrationError
from graphprune.runtime.dimensions import Sizes, input_dims, real_inputs, sizes_in
from graphprune.runtime.sizes import Role, roles

Array = NDArray[Any]
Feeds = Mapping[str, Array]

_LOOKED_AT = 256  # entries
_SHOWN = 4  # of different sizes
_FEW = (3, 2)  # samples of an entry that are enough to see what a model makes of it


def given_sizes(
    what: Any, model: ir.Model, preprocessing: str = "", samples: int | None = None
) -> tuple[Sizes, ...]:
    """Sizes of the free dimensions of a model in calibration inputs, the most frequent first.

    Inputs that cannot be read have none: what is wrong with them is said when they are used.

    Args:
        what: anything that `load_calibration` reads, or None.
        model: the normalised model.
        preprocessing: of pictures.
        samples: look at no more than this many; a loader may go on for ever.
    """
    if what is None or is_noise(what):
        return ()
    shapes = _shapes(model)
    seen = 0
    counts: Counter[tuple[Any, ...]] = Counter()
    try:
        for feeds, _, _ in _entries(what, shapes, _LOOKED_AT, preprocessing):
            found = {name: np.shape(array) for name, array in feeds.items()}
            sizes = sizes_in(model, found)
            if sizes is not None:
                counts[tuple(sizes.items())] += 1
            seen += max((f[0] for n, f in found.items() if f and len(f) == len(shapes[n])), default=1)
            if samples is not None and seen >= samples:
                break
    except (CalibrationError, ValueError):
        return ()
    return tuple(dict(items) for items, _ in counts.most_common())


def given_examples(
    what: Any, model: ir.Model, preprocessing: str = "", samples: int | None = None
) -> tuple[Feeds, ...]:
    """A few of a user's inputs as feeds of a model, of sizes as different as they have.

    Inputs that cannot be read give none: what is wrong with them is said when they are used.

    Args:
        what: anything that `load_calibration` reads, or None.
        model: the normalised model.
        preprocessing: of pictures.
        samples: look at no more entries than this; a loader may go on for ever.
    """
    if what is None or is_noise(what):
        return ()
    shapes, types = _shapes(model), element_types(model)
    kept: dict[tuple[Any, ...], list[Feeds]] = {}
    most = _LOOKED_AT if samples is None else min(samples, _LOOKED_AT)
    try:
        for entry, source, number in _entries(what, shapes, most, preprocessing):
            feeds = checked(entry, shapes, types, source, number, False)
            sizes = sizes_in(model, {name: array.shape for name, array in feeds.items()})
            if sizes is not None and (len(kept) < _SHOWN or tuple(sizes.items()) in kept):
                kept.setdefault(tuple(sizes.items()), []).append(next(split(feeds, shapes)))
                del kept[tuple(sizes.items())][2:]
    except (CalibrationError, ValueError):
        pass
    samples_of = _with_samples(model)
    return tuple(feeds for alike in kept.values() for feeds in _varied(alike, samples_of))


def _entries(
    what: Any, shapes: Mapping[str, tuple[int | None, ...]], most: int, preprocessing: str
) -> Iterator[tuple[Mapping[str, Any], str, int]]:
    """The first entries by input name, each with where it came from and its number."""
    entries, source = read_entries(what, shapes, most, preprocessing)
    for number, entry in enumerate(itertools.islice(entries, most)):
        yield named(entry, shapes, source, number), source, number


def _shapes(model: ir.Model) -> dict[str, tuple[int | None, ...]]:
    """Of a model's inputs, None where they are free."""
    return {
        str(v.name): tuple(dim if isinstance(dim, int) else None for dim in input_dims(v))
        for v in real_inputs(model)
    }


def _with_samples(model: ir.Model) -> frozenset[str]:
    """The inputs whose first axis counts samples, any number of them."""
    known = roles(model)
    dims = {str(v.name): input_dims(v) for v in real_inputs(model)}
    return frozenset(n for n, d in dims.items() if d and known.get(d[0]) is Role.BATCH)  # type: ignore[arg-type]


def _varied(alike: list[Feeds], sampled: frozenset[str]) -> Iterator[Feeds]:
    """Feeds of the same sizes: with fewer samples, as they are, or together, so that their number shows."""
    first, counts = alike[0], {len(alike[0][n]) for n in sampled}
    count = counts.pop() if len(counts) == 1 else 0
    if count > _FEW[0]:
        for few in _FEW:
            yield {n: a[:few] if n in sampled else a for n, a in first.items()}
    yield first
    if 0 < count <= _FEW[0] and len(alike) > 1:
        second = alike[1]
        if all(np.array_equal(a, second[n]) for n, a in first.items() if n not in sampled):
            yield {n: np.concatenate([a, second[n]]) if n in sampled else a for n, a in first.items()}
