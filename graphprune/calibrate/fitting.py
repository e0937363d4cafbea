"""One entry of calibration inputs as arrays by input name, whatever form loaders yield it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import CalibrationError

Sizes = tuple[int | None, ...]
"""The sizes of an input, None where they are free."""


def named(item: Any, shapes: Mapping[str, Sizes], source: str, number: int) -> dict[str, Any]:
    """One feed by input name; arrays without names are taken in the order of the inputs.

    Args:
        item: the entry.
        shapes: of the model's inputs.
        source: where it came from, for errors.
        number: which entry it is.

    Raises:
        CalibrationError: an input has no array, or an array no input.
    """
    if isinstance(item, Mapping):
        return _by_name(item, list(shapes), source, number)
    if len(shapes) == 1:
        name, shape = next(iter(shapes.items()))
        return {name: _only(item, shape, f"{source}, entry {number}")}
    arrays = item if isinstance(item, list | tuple) else [item]
    if len(arrays) != len(shapes):
        raise CalibrationError(
            f"{source}, entry {number}: {len(arrays)} arrays for {len(shapes)} inputs ({', '.join(shapes)})"
        )
    return dict(zip(shapes, arrays, strict=True))


def as_array(value: Any, where: str) -> NDArray[Any]:
    """A value as an array.

    Raises:
        CalibrationError: it cannot be one.
    """
    try:
        return np.asarray(value)
    except Exception as error:  # lists of unlike lengths; tensors on a device, or with a gradient
        raise CalibrationError(
            f"{where}: holds a {type(value).__name__} that is no array ({error}); give arrays of numbers"
        ) from None


def fits(have: Sequence[int], want: Sizes) -> bool:
    """Whether an array of a shape can be samples of an input, or one without its batch axis."""
    rest = have[1:] if len(have) == len(want) else have
    return len(rest) == len(want) - 1 and all(
        size is None or size == found for found, size in zip(rest, want[1:], strict=True)
    )


def _by_name(item: Mapping[Any, Any], names: Sequence[str], source: str, number: int) -> dict[str, Any]:
    if len(item) == len(names) == 1:  # there is only one way to understand it
        return {names[0]: next(iter(item.values()))}
    missing = [n for n in names if n not in item]
    if missing:
        raise CalibrationError(
            f"{source}, entry {number}: no array for input {missing[0]!r}; it has "
            f"{', '.join(map(str, item)) or 'none'}, the model wants {', '.join(names)}"
        )
    return {n: item[n] for n in names}


def _only(item: Any, shape: Sizes, where: str) -> Any:
    """The array of the only input: the entry itself, or its first where labels and the like follow."""
    if not isinstance(item, list | tuple) or not any(_is_array(part) for part in item):
        return item
    shapes = [np.shape(part) if _is_array(part) or np.isscalar(part) else None for part in item]
    # A list may be a batch that nobody has stacked; a tuple is one thing beside another.
    if isinstance(item, list) and len(set(shapes)) == 1 and fits((len(item), *(shapes[0] or ())), shape):
        return item
    suitable = [found is not None and fits(found, shape) for found in shapes]
    if suitable[0] and not any(suitable[1:]):
        return item[0]
    raise CalibrationError(
        f"{where} holds {len(item)} arrays for 1 input ({', '.join(map(str, shapes))}): "
        "yield the input alone, or a mapping by input name"
    )


def _is_array(part: Any) -> bool:
    """Whether this is an array or a tensor, of any library, rather than a number."""
    return hasattr(part, "shape") and not np.isscalar(part)
