"""What a rule sees of one node, and what it may say about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.dims import Const, Dim, Solver, add, multiply
from graphprune.rules.effects import (
    Alternatives,
    AttributeSizes,
    Branch,
    Contraction,
    Effect,
    Entry,
    InputSizes,
    Kind,
    Mixed,
    Normalised,
    Silent,
)


class Barrier(Exception):
    """Raised by a rule that cannot follow this node; the message is the reason, for users."""


class NodeContext:
    """One node, its operands' dimensions, and the solver.

    Attributes:
        op: operator type, of `domain`; `where` names the node for users.
        version: opset version of the node's domain.
        solver: the solver that equates dimensions.
        effects: what the rule said, in order.
    """

    def __init__(
        self,
        *,
        op: str,
        domain: str = "",
        name: str,
        version: int,
        attributes: Mapping[str, Any],
        inputs: Sequence[tuple[Dim, ...] | None],
        present: Sequence[bool],
        constant: Sequence[bool],
        values: Sequence[NDArray[np.generic] | None],
        stored: Sequence[bool] = (),
        recorded: Sequence[tuple[NDArray[np.generic], ...]] = (),
        output_shapes: Sequence[tuple[int, ...] | None],
        output_dynamic: Sequence[tuple[bool, ...] | None],
        solver: Solver,
        pointed: Sequence[Dim | None] = (),
        ids: Sequence[bool] = (),
        said: Sequence[Effect] = (),
    ) -> None:
        self.op, self.domain, self.name = op, domain, name
        self.version, self.attributes = version, attributes
        self._inputs, self._present, self._constant, self._values = inputs, present, constant, values
        self._stored, self._recorded = stored, recorded
        self.output_shapes, self.output_dynamic = output_shapes, output_dynamic
        self.outputs: list[tuple[Dim, ...] | None] = [None] * len(output_shapes)
        self.solver = solver
        self.points: list[Dim | None] = [None] * len(output_shapes)
        self.followed: set[int] = set()  # inputs whose positions the rule understood
        self._pointed, self._ids, self._said = pointed, ids, said
        self.effects: list[Effect] = []
        self._read: set[int] = set()

    @property
    def where(self) -> str:
        """The node in words: operator and name."""
        return f'{self.op} "{self.name}"'

    # -- reading ------------------------------------------------------------------------------

    def has(self, index: int) -> bool:
        """True if input `index` is given."""
        return index < len(self._present) and self._present[index]

    def count(self) -> int:
        """How many inputs the node lists."""
        return len(self._present)

    def is_constant(self, index: int) -> bool:
        """True if input `index` is a weight or another constant."""
        return self.has(index) and self._constant[index]

    def is_stored(self, index: int) -> bool:
        """True if input `index` is a constant, or one that every turn of a loop takes from a constant."""
        return self.has(index) and (self._stored or self._constant)[index]

    def dims(self, index: int) -> tuple[Dim, ...]:
        """The dimensions of input `index`; a barrier if its shape is unknown."""
        self._read.add(index)
        dims = self._inputs[index] if self.has(index) else None
        if dims is None:
            raise Barrier(f"the shape of input {index} of {self.where} is unknown")
        return tuple(self.solver.resolve(d) for d in dims)

    def shape(self, index: int) -> tuple[int, ...]:
        """The recorded shape of input `index`."""
        return tuple(d.size for d in self.dims(index))

    def rank(self, index: int) -> int:
        """Number of axes of input `index`."""
        return len(self.dims(index))

    def out_shape(self, index: int = 0) -> tuple[int, ...]:
        """The recorded shape of output `index`; a barrier if unknown."""
        shape = self.output_shapes[index]
        if shape is None:
            raise Barrier(f"the shape of output {index} of {self.where} is unknown")
        return shape

    def is_dynamic(self, axis: int, output: int = 0) -> bool:
        """True if the size of an output axis changes with the sizes of the inputs."""
        dynamic = self.output_dynamic[output]
        return bool(dynamic and dynamic[axis])

    def attribute(self, name: str, default: Any = None) -> Any:
        """Value of an attribute, or the default."""
        return self.attributes.get(name, default)

    def value(self, index: int) -> NDArray[np.generic] | None:
        """What a small input of integers or truth values holds, if it is the same in every run, else None."""
        return self._values[index] if self.has(index) else None

    def truth(self, index: int) -> bool | None:
        """The truth value of a constant scalar input, else None."""
        value = self.value(index)
        return None if value is None or value.size != 1 else bool(np.ravel(value)[0])

    def values(self, index: int) -> tuple[NDArray[np.generic], ...]:
        """What a computed tensor of sizes held in each run; empty if that is not known."""
        return self._recorded[index] if index < len(self._recorded) else ()

    def ints(self, index: int, attribute: str | None = None) -> list[int] | None:
        """Integers given as input `index` or, in older opsets, as an attribute."""
        if self.has(index):
            value = self.value(index)
            return None if value is None else [int(v) for v in np.ravel(value)]
        found = self.attribute(attribute) if attribute else None
        return None if found is None else [int(v) for v in found]

    def axis(self, value: int, rank: int) -> int:
        """A possibly negative axis as a position."""
        return value + rank if value < 0 else value

    def pointed(self, index: int) -> Dim | None:
        """The dimension that the whole numbers of input `index` are positions along, if that is known.

        A rule that asks must see to it that the positions stay right when slots go.
        """
        dim = self._pointed[index] if index < len(self._pointed) else None
        if dim is None:
            return None
        self.followed.add(index)
        return self.solver.resolve(dim)

    def holds_ids(self, index: int) -> bool:
        """True if input `index` holds numbers of a graph input as they were given."""
        return index < len(self._ids) and self._ids[index]

    def competes(self, dim: Dim) -> bool:
        """True if slots of `dim` are known to compete: the experts behind a router."""
        return any(isinstance(e, Alternatives) and self.solver.resolve(e.dim) == dim for e in self._said)

    # -- saying -------------------------------------------------------------------------------

    def say(self, effect: Effect) -> None:
        """Record an effect."""
        self.effects.append(effect)

    def set(self, index: int, dims: Iterable[Dim]) -> None:
        """Give output `index` its dimensions."""
        self.outputs[index] = tuple(dims)

    def freeze(self, dim: Dim, why: str) -> None:
        """Forbid removals from `dim`."""
        self.solver.freeze(dim, why)
        self.say(Mixed(dim))

    def fixed(self, size: int, why: str = "") -> Dim:
        """A dimension that belongs to this node alone and never changes."""
        return Const(size, why or f"made by {self.where}")

    def contract(self, dim: Dim, *operands: int, stays: bool = False) -> None:
        """`dim` is summed over; it `stays` where that only makes a statistic."""
        self.say(Contraction(self.name, dim, operands, stays))

    def normalise(self, dim: Dim) -> None:
        """`dim` is normalised over."""
        self.say(Normalised(dim, f"normalised over by {self.where}"))

    def compare(self, dim: Dim) -> None:
        """The largest or smallest slot of `dim` is picked, among those that are left."""
        self.say(Normalised(dim, f"compared slot by slot by {self.where}"))

    def alternatives(
        self, axis: int, why: str, *, least: int = 1, lowest: bool = True, softly: bool = False
    ) -> None:
        """Slots along an axis of the first input compete; removed ones take part no more."""
        dims = self.dims(0)
        self.say(Alternatives(self.name, 0, axis, len(dims), dims[axis], why, least, lowest, softly))
        if any(d.atoms for k, d in enumerate(dims) if k != axis):
            self.say(Mixed(dims[axis]))

    def branch(self, dim: Dim, slot: int) -> None:
        """One slot of a dimension whose slots compete is read by itself."""
        self.say(Branch(self.name, dim, slot))
        self.kind(dim, "experts")

    def silent(self, dim: Dim, like: int | None = None) -> None:
        """Outputs hold zero in removed slots of `dim`, or what input `like` holds."""
        self.say(Silent(self.name, dim, like))

    def point(self, index: int, dim: Dim) -> None:
        """The numbers of output `index` are positions along `dim`."""
        self.points[index] = dim

    def kind(self, dim: Dim, kind: str) -> None:
        """`dim` is a `kind` to users."""
        self.say(Kind(dim, kind))

    def sizes_input(
        self, index: int, entries: Sequence[Entry | Dim | None], along: Iterable[Dim] = ()
    ) -> None:
        """Elements of input `index` are sizes."""
        self.say(InputSizes(self.name, index, _entries(entries), tuple(along)))

    def sizes_attribute(
        self,
        attribute: str,
        entries: Sequence[Entry | Dim | None],
        *,
        scalar: bool = False,
        along: Iterable[Dim] = (),
    ) -> None:
        """The integers of an attribute are sizes."""
        self.say(AttributeSizes(self.name, attribute, _entries(entries), scalar, tuple(along)))

    def unread(self) -> list[int]:
        """Inputs whose dimensions the rule did not ask for: parameters, not data."""
        return [k for k in range(self.count()) if k not in self._read]

    # -- common moves -------------------------------------------------------------------------

    def reshaped(self, before: Sequence[Dim], shape: Sequence[int]) -> tuple[Dim, ...]:
        """Row-major regrouping of `before` into axes of sizes `shape`: factors split and merge."""
        after: list[Dim] = []
        queue = [d for d in before if d.size != 1]
        targets = list(shape)
        while targets:
            size = targets.pop(0)
            if size == 1:
                after.append(self.fixed(1))
                continue
            if not queue:
                raise Barrier(f"{self.where} makes a shape that its input does not fill")
            chunk = [queue.pop(0)]
            have, goal = chunk[0].size, [size]
            want = size
            while have != want:
                if have < want:
                    if not queue:
                        raise Barrier(f"{self.where} makes a shape that its input does not fill")
                    chunk.append(queue.pop(0))
                    have *= chunk[-1].size
                else:
                    if not targets:
                        raise Barrier(f"{self.where} makes a shape that its input overfills")
                    goal.append(targets.pop(0))
                    want *= goal[-1]
            rest = chunk[0] if len(chunk) == 1 else multiply(self.solver.resolve(c) for c in chunk)
            for size_ in goal[:-1]:
                first, rest = self.solver.factor(rest, size_)
                after.append(first)
            after.append(rest)
        return tuple(self.solver.resolve(d) for d in after)

    def same(self, dims: Sequence[Sequence[Dim]]) -> tuple[Dim, ...]:
        """Numpy broadcasting: align on the right, equate, stretch axes of size 1."""
        rank = max((len(d) for d in dims), default=0)
        out: list[Dim] = []
        for k in range(rank, 0, -1):
            aligned = [d[len(d) - k] for d in dims if len(d) >= k]
            wide = [d for d in aligned if d.size != 1]
            for other in wide[1:]:
                if other.size != wide[0].size:
                    raise Barrier(f"operands of {self.where} do not broadcast")
                self.solver.unify(wide[0], other)
            out.append(wide[0] if wide else aligned[0])
        return tuple(self.solver.resolve(d) for d in out)

    def pieces(self, dim: Dim, sizes: Sequence[int]) -> list[Dim]:
        """`dim` cut into consecutive pieces of the given sizes."""
        found: list[Dim] = []
        for size in sizes:
            piece, dim = self.solver.split(dim, size)
            found.append(piece)
        return found

    def middle(self, dim: Dim, start: int, stop: int) -> tuple[Dim, Dim]:
        """What comes before `start`, and the slots from `start` to `stop`."""
        before, rest = self.solver.split(dim, start)
        taken, _ = self.solver.split(rest, stop - start)
        return self.solver.resolve(before), self.solver.resolve(taken)


def _entries(entries: Sequence[Entry | Dim | None]) -> tuple[Entry | None, ...]:
    return tuple(e if e is None or isinstance(e, Entry) else Entry(e) for e in entries)


def prefix(*dims: Dim) -> Entry:
    """The offset behind `dims`."""
    return Entry(add(dims))
