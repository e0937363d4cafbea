"""Reads the one-line notation of rules and applies it to a node. See `graphprune.rules.rule`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from graphprune.dims import Const, Dim, multiply
from graphprune.rules.context import Barrier, NodeContext
from graphprune.rules.rule import Rule


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of an operand: several names for a product, one with `star` for any number of axes."""

    names: tuple[str, ...]
    star: bool = False


@dataclass(frozen=True, slots=True)
class Notation:
    """A parsed rule: operands as lists of axes, and the roles of the names."""

    inputs: tuple[tuple[Axis, ...], ...]
    outputs: tuple[tuple[Axis, ...], ...]
    frozen: frozenset[str]
    normalised: frozenset[str]

    @property
    def contracted(self) -> frozenset[str]:
        """Names that occur in inputs but in no output."""
        return _names(self.inputs) - _names(self.outputs)


def _names(operands: tuple[tuple[Axis, ...], ...]) -> frozenset[str]:
    return frozenset(n for o in operands for a in o for n in a.names)


@functools.cache
def parse(text: str) -> Notation:
    """Parse a rule.

    >>> parse("n (g c) *!s, (g o) c *k -> n (g o) *!t").contracted == {"s", "c", "k"}
    True
    """
    frozen: set[str] = set()
    normalised: set[str] = set()

    def name(token: str) -> str:
        bare = token.lstrip("!~")
        if "!" in token:
            frozen.add(bare)
        if "~" in token:
            normalised.add(bare)
        return bare

    def operand(part: str) -> tuple[Axis, ...]:
        axes: list[Axis] = []
        for token in re.findall(r"\([^)]*\)|\S+", part):
            if token.startswith("("):
                axes.append(Axis(tuple(name(t) for t in token[1:-1].split())))
            else:
                axes.append(Axis((name(token.replace("*", "")),), "*" in token))
        return tuple(axes)

    left, _, right = text.partition("->")
    inputs = tuple(operand(p) for p in left.split(","))
    outputs = tuple(operand(p) for p in right.split(","))
    return Notation(inputs, outputs, frozenset(frozen), frozenset(normalised))


def apply(node: NodeContext, text: str, rule: Rule) -> None:
    """Relate the axes of `node` as the notation says, and give its outputs their dimensions."""
    _Application(node, parse(text), rule).run()


class _Application:
    def __init__(self, node: NodeContext, notation: Notation, rule: Rule) -> None:
        self.node, self.notation, self.rule = node, notation, rule
        self.known: Mapping[str, int] = {
            name: int(node.attribute(a))
            for a, names in rule.sizes.items()
            for name in names.split()
            if node.attribute(a) is not None
        }
        self.optional = frozenset(n for names in rule.sizes.values() for n in names.split())
        self.dims: dict[str, Dim] = {}
        self.stars: dict[str, list[Dim]] = {}
        self.seen: dict[str, list[int]] = {}  # name -> inputs it occurs in

    def run(self) -> None:
        """Inputs, roles, outputs, in this order."""
        for index, axes in enumerate(self.notation.inputs):
            if self.node.has(index):
                self._read(index, axes)
        self._roles()
        for index, axes in enumerate(self.notation.outputs):
            if index < len(self.node.outputs) and self.node.output_shapes[index] is not None:
                self.node.set(index, self._made(index, axes))

    # -- inputs -------------------------------------------------------------------------------

    def _read(self, index: int, axes: tuple[Axis, ...]) -> None:
        dims = list(self.node.dims(index))
        loose = len(dims) - sum(not a.star for a in axes)
        if loose < 0 or (loose and not any(a.star for a in axes)):
            raise Barrier(f"{self.node.where} has an input of rank {len(dims)} that its rule does not know")
        for axis in axes:
            for name in axis.names:
                self.seen.setdefault(name, []).append(index)
            if axis.star:
                some, dims = dims[:loose], dims[loose:]
                self._equate_star(axis.names[0], some)
            elif len(axis.names) == 1:
                self._equate(axis.names[0], dims.pop(0))
            else:
                self._factor(axis.names, dims.pop(0))

    def _equate_star(self, name: str, dims: list[Dim]) -> None:
        known = self.stars.setdefault(name, dims)
        for a, b in zip(known, dims, strict=False):
            if a.size == b.size:
                self.node.solver.unify(a, b)

    def _equate(self, name: str, dim: Dim) -> None:
        if name == "_" or name.isdigit():
            self.node.freeze(dim, f"a fixed part of {self.node.where}")
        elif name not in self.dims:
            self.dims[name] = dim
        elif self.dims[name].size == dim.size:
            self.node.solver.unify(self.dims[name], dim)
        elif dim.size != 1:
            raise Barrier(
                f"operands of {self.node.where} disagree on {name}: {self.dims[name].size} and {dim.size}"
            )

    def _size(self, name: str) -> int | None:
        if name.isdigit():
            return int(name)
        if name in self.dims:
            return self.dims[name].size
        return self.known.get(name, 1 if name in self.optional else None)

    def _factor(self, names: tuple[str, ...], dim: Dim) -> None:
        sizes = [self._size(n) for n in names]
        given = 1
        for size in sizes:
            given *= size or 1
        if dim.size % given or sizes.count(None) > 1:
            raise Barrier(f"{self.node.where}: {dim.size} is not a product of {' x '.join(names)}")
        sizes = [dim.size // given if s is None else s for s in sizes]
        rest = dim
        for name, size in zip(names[:-1], sizes, strict=False):
            first, rest = self.node.solver.factor(rest, size or 1)
            self._equate(name, first)
        self._equate(names[-1], rest)

    # -- roles --------------------------------------------------------------------------------

    def _all(self, name: str) -> list[Dim]:
        return self.stars.get(name, []) or ([self.dims[name]] if name in self.dims else [])

    def _roles(self) -> None:
        node = self.node
        for name in sorted(self.notation.frozen):
            for dim in self._all(name):
                node.freeze(dim, _why_frozen(node, name))
        for name in sorted(self.notation.normalised):
            for dim in self._all(name):
                node.normalise(dim)
        for name in sorted(self.notation.contracted):
            for dim in self._all(name):
                node.contract(dim, *dict.fromkeys(self.seen.get(name, ())))
        for name, kind in self.rule.kinds.items():
            for dim in self._all(name):
                node.kind(dim, kind)
        for attribute, names in self.rule.sizes.items():
            name = names.split()[0]
            if name in self.dims and node.attribute(attribute) is not None and not attribute.startswith("_"):
                node.sizes_attribute(attribute, [self.dims[name]], scalar=True)

    # -- outputs ------------------------------------------------------------------------------

    def _made(self, index: int, axes: tuple[Axis, ...]) -> list[Dim]:
        shape = list(self.node.out_shape(index))
        loose = len(shape) - sum(not a.star for a in axes)
        made: list[Dim] = []
        for axis in axes:
            if axis.star:
                known = self.stars.get(axis.names[0])
                sizes, shape = shape[:loose], shape[loose:]
                if known is not None and [d.size for d in known] == sizes:
                    made += known
                else:
                    made += [self.node.fixed(s, f"a spatial axis of {self.node.where}") for s in sizes]
                continue
            size = shape.pop(0)
            dim = multiply(self._named(n, size) for n in axis.names)
            if dim.size != size:
                raise Barrier(f"{self.node.where} makes an axis of {size} where its rule says {dim.size}")
            made.append(self.node.solver.resolve(dim))
        return made

    def _named(self, name: str, size: int) -> Dim:
        if name in self.dims:
            return self.node.solver.resolve(self.dims[name])
        if name.isdigit():
            return Const(int(name), f"a fixed part of {self.node.where}")
        return self.node.fixed(size, _why_frozen(self.node, name) if name in self.notation.frozen else "")


def _why_frozen(node: NodeContext, name: str) -> str:
    words = {
        "s": "a spatial axis",
        "k": "a kernel axis",
        "t": "a spatial axis",
        "steps": "the steps",
        "v": "rows looked up at run time",
    }
    return f"{words.get(name.rstrip('0123456789'), 'an axis whose slots are told apart')} of {node.where}"
