"""Samples that come one by one, or in small batches, become batches of the size that a model is run with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.fitting import Sizes
from graphprune.errors import CalibrationError, ModelError
from graphprune.runtime.recording import Recording
from graphprune.runtime.session import open_session

Array = NDArray[Any]
Feeds = Mapping[str, Array]

BATCH = 32
_BATCHES = 8  # at least, where there are enough samples: some are kept aside to judge the result
_SMALL = 8
_TRIED = 4  # samples that show whether they know of each other
_TOLERANCE = 1e-4


def batch_of(model: ir.Model, shapes: Mapping[str, Sizes], recording: Recording) -> int:
    """How many samples make a batch; 0 where the first axes of inputs and outputs are not all the same.

    Args:
        model: the model.
        shapes: of its inputs.
        recording: shapes of its tensors.
    """
    firsts = {shape[0] if shape else 0 for shape in shapes.values()}
    if len(firsts) != 1:
        return 0
    names = [*shapes, *(str(value.name) for value in model.graph.outputs)]
    for run in (recording.shapes, recording.second):
        if len({run.get(name, ())[:1] for name in names}) != 1:
            return 0
    first = firsts.pop()
    return BATCH if first is None else first


def gathered(given: Iterable[Feeds], model: ir.Model, batch: int, fixed: bool) -> tuple[list[Feeds], int]:
    """The same samples in the same order, fewer than a batch joined to those that follow.

    Args:
        given: feeds.
        model: that is run on them.
        batch: samples of a batch; 0 to leave them as they are.
        fixed: the model takes in no other number.

    Returns:
        Feeds, whose sizes are multiples of a fixed batch; and how many samples did not fill one.

    Raises:
        CalibrationError: they would have to be joined to fit, along an axis that is not one of samples.
    """
    if not batch:
        return list(given), 0
    found: list[Feeds] = []
    dropped = 0
    for (partial, _), run in itertools.groupby(given, lambda feeds: _alike(feeds, batch, fixed)):
        if not partial:
            found += run
        elif fixed:
            whole, left = _full(_joined(list(run)), model, batch)
            found += whole
            dropped += left
        else:
            found += _together(list(run), model)
    return found, dropped


def _together(feeds: list[Feeds], model: ir.Model) -> list[Feeds]:
    """Feeds as one, if their samples know nothing of each other."""
    if len(feeds) == 1:
        return feeds
    joined = _joined(feeds)
    if not independent(model, _part(joined, 0, _TRIED)):
        return feeds
    size = _size(joined)
    step = max(_SMALL, size // _BATCHES)
    return [joined] if step >= BATCH else [_part(joined, k, k + step) for k in range(0, size, step)]


def _full(feeds: Feeds, model: ir.Model, batch: int) -> tuple[list[Feeds], int]:
    """What fills batches of a fixed size, and how many samples are left."""
    size = _size(feeds)
    left = size % batch
    if size < batch:
        return [], left
    if not independent(model, _part(feeds, 0, batch)):
        raise CalibrationError(
            f"the model takes arrays of {batch} along the first axis, which are no samples of their own, and "
            f"calibration inputs have {size} there: give arrays of its size"
        )
    return [_part(feeds, 0, size - left)], left


def independent(model: ir.Model, feeds: Feeds) -> bool:
    """Whether what a model makes of a sample is the same, whatever the others along the first axis are.

    That axis may be time, and samples that are joined along it would be read as one. So the first and the
    last one are held against what the model makes of them among copies of themselves.

    Args:
        model: the model.
        feeds: some samples.
    """
    size = _size(feeds)
    ends = (0, size - 1)
    copies = [{name: np.repeat(a[k : k + 1], size, axis=0) for name, a in feeds.items()} for k in ends]
    try:
        with open_session(model) as session:
            together, *alone = [session.run(f) for f in (feeds, *copies)]
    except ModelError:
        return False
    return all(
        _same(together[name][k], one[name][k])
        for k, one in zip(ends, alone, strict=True)
        for name in together
    )


def split(feeds: Feeds, shapes: Mapping[str, Sizes]) -> Iterator[Feeds]:
    """Pieces of at most a batch: of the fixed size of the model's first axis, or of our own."""
    sizes = {a.shape[0] for n, a in feeds.items() if shapes[n]}
    fixed = {shape[0] for shape in shapes.values() if shape and shape[0] is not None}
    free = any(shape and shape[0] is None for shape in shapes.values())
    if len(sizes) != 1 or (fixed and free):
        yield feeds
        return
    size = sizes.pop()
    step = BATCH if free else fixed.pop() if len(fixed) == 1 else size
    if free and BATCH < size < 2 * BATCH:
        step = -(-size // 2)
    for start in range(0, size, step or size):
        yield {n: a[start : start + step] if shapes[n] else a for n, a in feeds.items()}


def _alike(feeds: Feeds, batch: int, fixed: bool) -> tuple[bool, tuple[Any, ...]]:
    """Equal for neighbours that may be joined: whether they fill no batch, and their other sizes."""
    sizes = {array.shape[0] for array in feeds.values()}
    size = max(sizes)
    partial = len(sizes) == 1 and (size % batch != 0 if fixed else size < batch)
    return partial, tuple((name, array.shape[1:]) for name, array in feeds.items())


def _joined(feeds: list[Feeds]) -> Feeds:
    return {name: np.concatenate([f[name] for f in feeds]) for name in feeds[0]}


def _size(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def _part(feeds: Feeds, start: int, stop: int) -> Feeds:
    return {name: array[start:stop] for name, array in feeds.items()}


def _same(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind not in "f":
        return bool(np.array_equal(one, other))
    near = _TOLERANCE * float(np.max(np.abs(one), initial=0.0))
    return bool(np.allclose(one, other, rtol=_TOLERANCE, atol=near, equal_nan=True))
