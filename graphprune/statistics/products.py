"""Products whose axes lie in any order, in matrix form: Einsum, weights on the left, turned operands."""

from __future__ import annotations

import string
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


def of_equation(equation: str, given: int, rank: int, other: int) -> ProductLayout | None:
    """The layout of an Einsum of an input and a weight; None if it is no such product.

    Args:
        equation: of Einsum, with two operands; an ellipsis may stand in that of the input.
        given: which of them is the input.
        rank: axes of the input.
        other: axes of the weight.
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2:
        return None
    if not arrow:
        every = "".join(terms).replace("...", "")
        single = "".join(sorted(c for c in set(every) if every.count(c) == 1))
        result = ("..." if "..." in left else "") + single
    free = [c for c in string.ascii_letters if c not in equation]
    extra = max(0, rank - len(terms[given].replace("...", "")))
    dots = "".join(free[:extra])
    x, w = (terms[k].replace("...", dots if k == given else "") for k in (given, 1 - given))
    return _checked(ProductLayout(x, w, result.replace("...", dots)), rank, other)


def of_matmul(
    given: int, rank: int, other: int, turned_given: bool = False, turned_weight: bool = False
) -> ProductLayout | None:
    """The layout of `A @ B`, where either is the input, and the last two axes of either may be turned.

    Args:
        given: 0 if the input is A, 1 if it is B.
        rank: axes of the input.
        other: axes of the weight; axes beyond two are stacks that the input must have too.
        turned_given: the input is transposed first.
        turned_weight: the weight is transposed first.
    """
    if rank < 2 or other < 2 or other > rank:
        return None
    lead = string.ascii_letters[3 : 3 + rank - 2]
    x, w = ("ab", "bc") if given == 0 else ("bc", "ab")
    x, w = x[::-1] if turned_given else x, w[::-1] if turned_weight else w
    stacks = lead[len(lead) - (other - 2) :]
    return _checked(ProductLayout(lead + x, stacks + w, f"{lead}ac"), rank, other)


def _checked(layout: ProductLayout, rank: int, other: int) -> ProductLayout | None:
    """None where a letter stands twice or is added up in one operand alone, or where nothing is added up."""
    every = (layout.given, layout.weight, layout.result)
    if any(len(set(letters)) < len(letters) for letters in every) or "." in "".join(every):
        return None
    if len(layout.given) != rank or len(layout.weight) != other:
        return None
    x, w, y = map(set, every)
    return layout if x <= w | y and w <= x | y and y <= x | w and layout.columns else None


def _arranged(array: Array, letters: str, *groups: str) -> Array:
    """The axes brought together in groups, one axis for each."""
    size = dict(zip(letters, array.shape, strict=True))
    order = [letters.index(c) for group in groups for c in group]
    return array.transpose(order).reshape([prod(size[c] for c in group) for group in groups])
