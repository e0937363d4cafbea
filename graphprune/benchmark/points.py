"""Which inputs models are timed on: batch sizes and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.errors import UsageError
from graphprune.runtime.cached import find_lengths
from graphprune.runtime.dimensions import Key, input_dims, real_inputs
from graphprune.runtime.feeds import random_feeds

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Point:
    """Inputs of one shape.

    Attributes:
        batch: the size of the first axis of the first input; 1 if it has none.
        feeds: an array for every input.
    """

    batch: int
    feeds: Mapping[str, NDArray[Any]]

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Shape of every input."""
        return {name: list(a.shape) for name, a in self.feeds.items()}


def parse_batches(text: str) -> tuple[int, ...]:
    """Batch sizes from a comma list.

    Raises:
        UsageError: not whole numbers above zero.

    >>> parse_batches("1,8")
    (1, 8)
    """
    try:
        found = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise UsageError(f"cannot read the batch sizes {text!r}: write for example 1,8")
    return found


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input, from `input=1x3x224x224`.

    Raises:
        UsageError: not of this form.

    >>> parse_shapes(["x=1x3x8x8"])
    {'x': (1, 3, 8, 8)}
    """
    found = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        try:
            shape = tuple(int(part) for part in sizes.lower().split("x"))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise UsageError(f"cannot read the shape {text!r}: write for example input=1x3x224x224")
        found[name] = shape
    return found


def make_points(
    model: ir.Model, usual: Mapping[Key, int], batches: Sequence[int], shapes: Shapes, seed: int
) -> tuple[Point, ...]:
    """Inputs for every batch size.

    Args:
        model: that takes them.
        usual: sizes of its free dimensions where nothing else is said.
        batches: sizes of the first axes; none to take what shapes or the model say.
        shapes: of some inputs.
        seed: of the numbers in them.

    Raises:
        UsageError: a shape or batch size that the model does not take.
    """
    sizes = {**usual, **_sizes_of(model, shapes)}
    firsts = [input_dims(v)[0] for v in real_inputs(model) if input_dims(v)]
    lengths = find_lengths(model)
    found = []
    for batch in batches or (None,):
        chosen = dict(sizes)
        if batch is not None:
            if fixed := [d for d in firsts if isinstance(d, int) and d != batch]:
                raise UsageError(
                    f"the model has a fixed batch of {fixed[0]}, so it cannot be timed at {batch}"
                )
            chosen |= {d: batch for d in firsts if not isinstance(d, int)}
        if lengths is not None and not shapes and not lengths.taken(chosen):
            chosen = lengths.prompt(chosen)
        feeds = random_feeds(model, chosen, seed)
        leading = next(iter(feeds.values())).shape if feeds else ()
        found.append(Point(int(leading[0]) if leading else 1, feeds))
    return tuple(found)


def _sizes_of(model: ir.Model, shapes: Shapes) -> dict[Key, int]:
    """What shapes say about the free dimensions."""
    inputs = {str(v.name): input_dims(v) for v in real_inputs(model)}
    found: dict[Key, int] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise UsageError(f"the model has no input {name!r}: it takes {', '.join(inputs)}")
        dims = inputs[name]
        if len(dims) != len(shape):
            raise UsageError(f"input {name!r} has {len(dims)} axes, but the shape given has {len(shape)}")
        for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
            known = dim if isinstance(dim, int) else found.setdefault(dim, size)
            if known != size:
                raise UsageError(f"axis {axis} of input {name!r} must be {known}, not {size}")
    return found
