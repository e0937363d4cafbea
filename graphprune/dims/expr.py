"""Dimension expressions: atoms, constants, row-major products, concatenations and re-orderings.

    dim ::= Atom(id, n)            n slots that may be removed one by one
          | Const(n, why)          n slots nobody may remove
          | Product(d, d, ...)     row-major: the last factor runs fastest
          | Sum(d, d, ...)         one after the other
          | Take(d, index)         slot j is slot index[j] of d (permutations, subsets, repeats)

Values are immutable and canonical: nested products and sums are flat, factors of size 1 are gone,
neighbouring constants are merged, and a sum that leads a product is multiplied out, because
`(a + b) x n` lays its slots out exactly as `a x n + b x n` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Dim: TypeAlias = "Atom | Const | Product | Sum | Take"


class _Expression:
    """What all expressions share: a size in slots and the ids of the atoms they mention."""

    __slots__ = ("_key", "atoms", "size")
    size: int
    atoms: frozenset[int]
    _key: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, _Expression) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)


class Atom(_Expression):
    """An indivisible run of `size` slots, known by its id."""

    __slots__ = ("id",)

    def __init__(self, id: int, size: int) -> None:
        self.id, self.size, self.atoms, self._key = id, size, frozenset((id,)), (Atom, id)

    def __repr__(self) -> str:
        return f"a{self.id}:{self.size}"


class Const(_Expression):
    """`size` slots that always stay; `why` is the reason in words a user understands."""

    __slots__ = ("why",)

    def __init__(self, size: int, why: str = "") -> None:
        self.size, self.why, self.atoms, self._key = size, why, frozenset(), (Const, size)

    def __repr__(self) -> str:
        return str(self.size)


class Product(_Expression):
    """Row-major product of at least two factors; made by `multiply`."""

    __slots__ = ("factors",)

    def __init__(self, factors: tuple[Dim, ...]) -> None:
        self.factors = factors
        self.size = math.prod(f.size for f in factors)
        self.atoms = frozenset().union(*(f.atoms for f in factors))
        self._key = (Product, factors)

    def __repr__(self) -> str:
        return "(" + " x ".join(map(repr, self.factors)) + ")"


class Sum(_Expression):
    """Concatenation of at least two terms; made by `add`."""

    __slots__ = ("terms",)

    def __init__(self, terms: tuple[Dim, ...]) -> None:
        self.terms = terms
        self.size = sum(t.size for t in terms)
        self.atoms = frozenset().union(*(t.atoms for t in terms))
        self._key = (Sum, terms)

    def __repr__(self) -> str:
        return "(" + " + ".join(map(repr, self.terms)) + ")"


class Take(_Expression):
    """Slot j is slot `index[j]` of `base`: what a Gather with a constant index or a reversed Slice makes."""

    __slots__ = ("base", "index")

    def __init__(self, base: Dim, index: NDArray[np.int64]) -> None:
        self.base, self.index = base, index
        self.size, self.atoms = len(index), base.atoms
        self._key = (Take, base, index.tobytes())

    @property
    def is_permutation(self) -> bool:
        """True if every slot of the base occurs exactly once."""
        return self.size == self.base.size and len(np.unique(self.index)) == self.size

    def __repr__(self) -> str:
        return f"{self.base!r}[{self.size} taken]"


def multiply(factors: Iterable[Dim]) -> Dim:
    """The canonical row-major product.

    >>> n, two = Atom(0, 5), Const(2)
    >>> multiply([two, Const(3), n])
    (6 x a0:5)
    >>> multiply([add([n, two]), Const(4)])
    ((a0:5 x 4) + 8)
    """
    flat: list[Dim] = []
    for factor in factors:
        for f in factor.factors if isinstance(factor, Product) else (factor,):
            if f.size == 1 and not f.atoms:
                continue
            if isinstance(f, Const) and flat and isinstance(flat[-1], Const):
                flat[-1] = Const(flat[-1].size * f.size, flat[-1].why or f.why)
            else:
                flat.append(f)
    if not flat:
        return Const(1)
    if len(flat) == 1:
        return flat[0]
    if isinstance(flat[0], Sum):
        return add(multiply([term, *flat[1:]]) for term in flat[0].terms)
    return Product(tuple(flat))


def add(terms: Iterable[Dim]) -> Dim:
    """The canonical concatenation; empty terms vanish.

    >>> add([Const(2), Const(3), Atom(1, 4)])
    (5 + a1:4)
    """
    flat: list[Dim] = []
    for term in terms:
        for t in term.terms if isinstance(term, Sum) else (term,):
            if t.size == 0:
                continue
            if isinstance(t, Const) and flat and isinstance(flat[-1], Const):
                flat[-1] = Const(flat[-1].size + t.size, flat[-1].why or t.why)
            else:
                flat.append(t)
    if not flat:
        return Const(0)
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))


def take(base: Dim, index: Sequence[int] | NDArray[np.int64]) -> Dim:
    """Slots `index` of `base`; the whole base in order is the base itself, whole terms stay terms.

    >>> take(add([Atom(1, 2), Atom(2, 3)]), [2, 3, 4, 0, 1])
    (a2:3 + a1:2)
    """
    picked = np.asarray(index, dtype=np.int64)
    if isinstance(base, Const):
        return Const(len(picked), base.why)
    if isinstance(base, Take):
        return take(base.base, base.index[picked])
    if len(picked) == base.size and bool((picked == np.arange(base.size)).all()):
        return base
    if isinstance(base, Sum):
        ends = np.cumsum([t.size for t in base.terms])
        terms = np.searchsorted(ends, picked, side="right")
        cuts = np.flatnonzero(np.diff(terms)) + 1
        if len(cuts) < len(base.terms):
            runs = zip(np.split(picked, cuts), np.split(terms, cuts), strict=True)
            parts = ((base.terms[of[0]], run - ends[of[0]]) for run, of in runs if len(run))
            return add(take(term, part + term.size) for term, part in parts)
    return Take(base, picked)


def atoms_of(dim: Dim) -> tuple[int, ...]:
    """Ids of the atoms of `dim` in the order in which it mentions them, outer ones first."""
    match dim:
        case Atom():
            return (dim.id,)
        case Product() | Sum():
            parts = dim.factors if isinstance(dim, Product) else dim.terms
            return tuple(dict.fromkeys(a for p in parts for a in atoms_of(p)))
        case Take():
            return atoms_of(dim.base)
    return ()


def atoms_in(dims: Iterable[Dim]) -> frozenset[int]:
    """Ids of all atoms that any of `dims` mentions."""
    return frozenset().union(*(d.atoms for d in dims))


def times_in(dim: Dim, atom: int) -> int:
    """How often one slot of `dim` depends on a slot of `atom`; the terms of a sum are alternatives.

    >>> n = Atom(1, 2)
    >>> times_in(multiply([n, n]), 1), times_in(add([n, n]), 1)
    (2, 1)
    """
    match dim:
        case Atom():
            return int(dim.id == atom)
        case Product():
            return sum(times_in(f, atom) for f in dim.factors)
        case Sum():
            return max(times_in(t, atom) for t in dim.terms)
        case Take():
            return times_in(dim.base, atom)
    return 0


def atom_size(dim: Dim, atom: int) -> int:
    """The number of slots of an atom that `dim` mentions."""
    match dim:
        case Product() | Sum():
            parts = dim.factors if isinstance(dim, Product) else dim.terms
            return next(atom_size(p, atom) for p in parts if atom in p.atoms)
        case Take():
            return atom_size(dim.base, atom)
    return dim.size
