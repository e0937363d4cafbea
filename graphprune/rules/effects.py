"""What a rule says besides the dimensions: sizes written in the graph, contractions, roles.

Effects name their node by its (unique) name, so that they can be applied to any copy of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.dims import Dim


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of a shape-like value: the size of `dim` plus `offset`."""

    dim: Dim
    offset: int = 0


@dataclass(frozen=True, slots=True)
class InputSizes:
    """Elements of integer input `index` are sizes; None marks those that stay as they are.

    `along` are dimensions whose change makes the elements wrong even if the entries keep their sizes:
    a position that is counted from the end.
    """

    node: str
    index: int
    entries: tuple[Entry | None, ...]
    along: tuple[Dim, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeSizes:
    """The integers of an attribute are sizes; `scalar` if it is one integer, not a list; `along` as above."""

    node: str
    attribute: str
    entries: tuple[Entry | None, ...]
    scalar: bool = False
    along: tuple[Dim, ...] = ()


@dataclass(frozen=True, slots=True)
class ReshapeTarget:
    """The target of a Reshape from `before` to `after` (0 and -1 may stand for sizes)."""

    node: str
    before: tuple[Dim, ...]
    after: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Regrouping:
    """A Gather that only regroups (its index counts from 0 up); pruned, it is a Reshape to `after`."""

    node: str
    after: tuple[Dim, ...]
    moving: int | None  # the one axis whose size changes at run time


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """The sizes of the pieces a Split makes, wherever its version keeps them."""

    node: str
    pieces: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class InputPositions:
    """Integer input `index` (shape `positions.shape`) holds positions along `dim`; those removed vanish."""

    node: str
    index: int
    dim: Dim
    positions: NDArray[np.int64]
    offset: int = 0  # added to every position: one, where a slice ends


@dataclass(frozen=True, slots=True)
class PinnedAttribute:
    """An attribute whose default depends on the size of `dim`: the pruned node keeps the original value."""

    node: str
    attribute: str
    value: float
    dim: Dim


@dataclass(frozen=True, slots=True)
class ShapeOf:
    """The node yields sizes of `dims` at run time (Shape, Size); readers must see the original ones."""

    node: str
    dims: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Contraction:
    """Slots of `dim` are summed over inputs `operands` (one for a reduction, two for a product).

    `stays` if the output has the axis nevertheless: only a statistic is taken over it.
    """

    node: str
    dim: Dim
    operands: tuple[int, ...]
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Normalised:
    """Slots of `dim` share a mean or a variance: removing one changes the others a little."""

    dim: Dim
    why: str


@dataclass(frozen=True, slots=True)
class Mixed:
    """Slots of `dim` are told apart or compared: what else an axis holds is kept alike for all."""

    dim: Dim


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Slots of `dim`, an axis of input `index` (of rank `rank`), compete: a removed one takes part no more.

    To the oracle it is worth minus infinity there (plus infinity unless `lowest`), so that it has no share
    and is never chosen. At least `least` slots must stay. Slots that are no experts can go without that only
    approximately if `softly`, else not at all.
    """

    node: str
    index: int
    axis: int
    rank: int
    dim: Dim
    why: str
    least: int = 1
    lowest: bool = True
    softly: bool = False


@dataclass(frozen=True, slots=True)
class Silent:
    """The outputs hold zero in removed slots of `dim`, or what input `like` holds there."""

    node: str
    dim: Dim
    like: int | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A Concat of single slots: operand k is slot k of `dim`, and goes with it."""

    node: str
    dim: Dim


@dataclass(frozen=True, slots=True)
class Branch:
    """The node reads one slot of `dim`, whose slots compete, by itself: without it all outputs are zero."""

    node: str
    dim: Dim
    slot: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """Input `index` holds ids from a graph input, which are positions along `dim`: a vocabulary.

    The ids keep their meaning; a table translates them, and those removed are read as the first one kept.
    """

    node: str
    index: int
    dim: Dim


@dataclass(frozen=True, slots=True)
class Restored:
    """Axis `axis` of a graph output (of rank `rank`) has all slots of `dim`, those removed hold `fill`."""

    output: str
    axis: int
    rank: int
    dim: Dim
    fill: float


@dataclass(frozen=True, slots=True)
class Kind:
    """What a dimension is to a user: "heads", "head-dim", "groups", "hidden", ..."""

    dim: Dim
    kind: str


Effect = (
    InputSizes
    | AttributeSizes
    | ReshapeTarget
    | Regrouping
    | SplitSizes
    | InputPositions
    | PinnedAttribute
    | ShapeOf
    | Contraction
    | Normalised
    | Mixed
    | Alternatives
    | Silent
    | Joined
    | Branch
    | Lookup
    | Restored
    | Kind
)
