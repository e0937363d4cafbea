"""What is known about a model after watching it run: the shape of every tensor, at two sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from graphprune.runtime.dimensions import Key

Array = np.ndarray[Any, np.dtype[Any]]
Shapes = Mapping[str, tuple[int, ...]]

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Recording:
    """Shapes and shape-like values of the tensors of a model and of the bodies in it, by tensor name.

    Attributes:
        shapes: concrete shapes in the first run: inputs, initializers and every computed tensor.
        second: the same at the second sizes; equal to `shapes` when nothing is free.
        values: small tensors in the first run: those read as a size, axis or offset (stored ones
            included), and all arithmetic on sizes.
        values_second: the same in the second run.
        shape_only: names in the graph whose value follows from sizes and constants alone. A value
            that is not among them depends on the data that was fed, and may differ next time.
        feeds: what was fed in the first run; empty if nothing ran.
        sizes: the size chosen for each free dimension in the first run.
        sizes_second: the same in the second run.
        method: `run` (exact) or `inference` (static; a tensor with an unknown size is absent).
        note: why it is not a pair of runs at different sizes; empty if it is.
        given: the user's inputs of both runs, where what is made up is refused; empty if it is not.
    """

    shapes: Shapes
    second: Shapes
    values: Mapping[str, Array]
    values_second: Mapping[str, Array]
    shape_only: frozenset[str]
    feeds: Mapping[str, Array]
    sizes: Mapping[Key, int]
    sizes_second: Mapping[Key, int]
    method: Literal["run", "inference"]
    note: str = ""
    given: tuple[Mapping[str, Array], ...] = ()

    @property
    def certain(self) -> bool:
        """Whether a size that did not change is known to be static: every free dimension did change."""
        return all(self.sizes_second.get(key) != size for key, size in self.sizes.items())

    def dynamic(self, name: str) -> tuple[bool, ...]:
        """For each axis of a tensor, whether its size differs between the runs.

        A tensor whose rank differs is dynamic throughout.

        Raises:
            KeyError: the tensor was not recorded.
        """
        first, second = self.shapes[name], self.second.get(name, self.shapes[name])
        if len(first) != len(second):
            return (True,) * len(first)
        return tuple(a != b for a, b in zip(first, second, strict=True))


def frozen(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """`mapping` as one that cannot be changed."""
    return MappingProxyType(dict(mapping)) if mapping else _NOTHING
