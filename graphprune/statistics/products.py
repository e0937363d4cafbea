"""Products whose axes lie in any order, in matrix form: Einsum, weights on the left, turned operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from graphprune.statistics.layout import Array, Layout, Rows


@dataclass(frozen=True, slots=True)
class ProductLayout(Layout):
    """A product written as Einsum writes it: one letter for each axis of each tensor.

    Letters of all three are blocks, those of input and weight alone are columns, those of weight and output
    are outputs, those of input and output are rows.

    Attributes:
        given: letters of the input.
        weight: letters of the weight.
        result: letters of the output.
    """

    given: str
    weight: str
    result: str

    @property
    def blocks(self) -> str:
        """Letters that all have, in the order of the output."""
        return "".join(c for c in self.result if c in self.given and c in self.weight)

    @property
    def columns(self) -> str:
        """Letters that are added up, in the order of the weight."""
        return "".join(c for c in self.weight if c not in self.result)

    @property
    def outgoing(self) -> str:
        """Letters that the weight brings, in the order of the output."""
        return "".join(c for c in self.result if c not in self.given)

    @property
    def along(self) -> str:
        """Letters of rows, in the order of the output."""
        return "".join(c for c in self.result if c not in self.weight)

    def suits(self, given: Sequence[int], weight: Sequence[int]) -> bool:
        """Whether axes of one letter are equally long; none is stretched."""
        size = dict(zip(self.given, given, strict=True))
        return all(size.get(c, n) == n for c, n in zip(self.weight, weight, strict=True))

    def rows(self, x: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows:
        found = _arranged(np.asarray(x, np.float32), self.given, self.blocks, self.along, self.columns)
        return found if chosen is None else found[:, chosen]

    def count(self, x: Array, weight_shape: Sequence[int]) -> int:
        return prod(x.shape[self.given.index(c)] for c in self.along)

    def matrix(self, weight: Array) -> Array:
        return _arranged(weight, self.weight, self.blocks, self.outgoing, self.columns)

    def tensor(self, matrix: Array, shape: Sequence[int]) -> Array:
        size = dict(zip(self.weight, shape, strict=True))
        letters = self.blocks + self.outgoing + self.columns
        laid = matrix.reshape([size[c] for c in letters])
        return np.ascontiguousarray(laid.transpose([letters.index(c) for c in self.weight]))

    def outputs(self, y: Array, weight_shape: Sequence[int], chosen: Array | None) -> Rows | None:
        found = _arranged(np.asarray(y, np.float32), self.result, self.blocks, self.along, self.outgoing)
        return found if chosen is None else found[:, chosen]

    def trailing(self, shape: Sequence[int]) -> tuple[int, ...]:
        size = dict(zip(self.weight, shape, strict=True))
        ends = not self.blocks and self.result.endswith(self.outgoing)
        return tuple(size[c] for c in self.outgoing) if ends else ()


def product_layout(
    letters: tuple[Sequence[str], str], given: int, sizes: Sequence[Sequence[int]]
) -> ProductLayout | None:
    """The layout of a product of an input and a weight; None if it is no product of rows and a matrix.

    That is where a letter stands twice, is added up in one operand alone, or names axes of which one is
    stretched, or where nothing is added up.

    Args:
        letters: of both operands, and of the result.
        given: which of them is the input.
        sizes: of the axes of both operands.
    """
    terms, result = letters
    layout = ProductLayout(terms[given], terms[1 - given], result)
    every = (layout.given, layout.weight, layout.result)
    if any(len(set(t)) < len(t) for t in every) or any(map(_longer, terms, sizes)):
        return None
    x, w, y = map(set, every)
    product = x <= w | y and w <= x | y and y <= x | w and layout.columns
    return layout if product and layout.suits(sizes[given], sizes[1 - given]) else None


def _longer(term: str, sizes: Sequence[int]) -> bool:
    """Whether there are not as many axes as letters."""
    return len(term) != len(sizes)


def _arranged(array: Array, letters: str, *groups: str) -> Array:
    """The axes brought together in groups, one axis for each."""
    size = dict(zip(letters, array.shape, strict=True))
    order = [letters.index(c) for group in groups for c in group]
    return array.transpose(order).reshape([prod(size[c] for c in group) for group in groups])
