"""Where the places of a sliding kernel meet its input: for pooling and convolution alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts

Array = NDArray[Any]


def plain_window(node: NodeFacts) -> bool:
    """Whether averages are taken of what lies inside, where a window reaches beyond the last padding."""
    beyond = node.attributes.get("ceil_mode") and node.attributes.get("count_include_pad")
    return not (node.op == "AveragePool" and beyond)


class Window:
    """Where each place of a kernel meets the padded input, for every output position.

    Args:
        node: with the attributes of a window.
        kernel: its size.
        outputs: how many positions it takes, along each axis.
        sizes: of what it slides over.
    """

    def __init__(
        self, node: NodeFacts, kernel: Sequence[int], outputs: Sequence[int], sizes: Sequence[int]
    ) -> None:
        rank = len(kernel)
        self.kernel, self.outputs = tuple(kernel), tuple(outputs)
        self.strides = tuple(int(s) for s in node.attributes.get("strides") or [1] * rank)
        self.dilations = tuple(int(d) for d in node.attributes.get("dilations") or [1] * rank)
        self.pads = tuple(int(p) for p in node.attributes.get("pads") or [0] * (2 * rank))
        same = node.attributes.get("auto_pad", "")
        if same in ("SAME_UPPER", "SAME_LOWER"):
            lacking = [max(0, r - n) for r, n in zip(self.reach, sizes, strict=True)]
            less, more = tuple(n // 2 for n in lacking), tuple(n - n // 2 for n in lacking)
            self.pads = less + more if same == "SAME_UPPER" else more + less

    def places(self) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Each place of the kernel and the slice of a padded array that it reads."""
        for place in itertools.product(*(range(k) for k in self.kernel)):
            cut = tuple(
                slice(p * d, p * d + s * (n - 1) + 1, s)
                for p, d, s, n in zip(place, self.dilations, self.strides, self.outputs, strict=True)
            )
            yield place, (..., *cut)

    @property
    def reach(self) -> tuple[int, ...]:
        """How much of the padded input all positions take together, along each axis."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1
            for s, n, d, k in zip(self.strides, self.outputs, self.dilations, self.kernel, strict=True)
        )

    def padded(self, x: Array, value: float) -> Array:
        """An array with what lies beyond the edges of its last axes, as far as the last window reaches."""
        rank = len(self.kernel)
        sizes = zip(self.reach, self.pads[:rank], x.shape[-rank:], strict=True)
        beyond = [(before, max(0, reach - before - size)) for reach, before, size in sizes]
        if not any(map(any, beyond)):
            return x
        return np.pad(x, [(0, 0)] * (x.ndim - rank) + beyond, constant_values=value)

    def inner(self, padded: Array, shape: Sequence[int]) -> Array:
        """The part of a padded array that is the input."""
        sizes = shape[-len(self.kernel) :]
        cut: Any = (..., *(slice(p, p + n) for p, n in zip(self.pads, sizes, strict=False)))
        return np.asarray(padded[cut])
