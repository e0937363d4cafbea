"""Evaluation: given the slots that every atom keeps, which positions of an axis remain.

This is the whole rewriter in miniature: once analysis has written every axis as an expression,
pruning is evaluating the same expressions with fewer slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphprune.dims.expr import Atom, Dim, Product, Sum, Take, atom_size

Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots an atom keeps.

    `index` has shape `(kept,)`, ascending. Where the atom only occurs inside others (`outer`, ids), it
    may keep different slots for each of theirs; then the shape is `(*outer sizes, kept)`.
    """

    index: Ints
    outer: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many slots are kept (for every slot of the outer atoms)."""
        return int(self.index.shape[-1])

    def mask(self, size: int) -> Bools:
        """True where a slot is kept; shape `(*outer sizes, size)`."""
        found = np.zeros((*self.index.shape[:-1], size), dtype=bool)
        np.put_along_axis(found, self.index, True, axis=-1)
        return found


Keeps: TypeAlias = Mapping[int, Slots]


def terms_of(dim: Dim) -> tuple[Dim, ...]:
    """The terms of a concatenation; any other dimension is its own only term."""
    return dim.terms if isinstance(dim, Sum) else (dim,)


def factors_of(dim: Dim) -> tuple[Dim, ...]:
    """The factors of a product; any other dimension is its own only factor."""
    return dim.factors if isinstance(dim, Product) else (dim,)


def kept_size(dim: Dim, keeps: Keeps) -> int:
    """Size of `dim` after pruning."""
    if not any(a in keeps for a in dim.atoms):
        return dim.size
    match dim:
        case Atom():
            return keeps[dim.id].count
        case Product():
            size = 1
            for factor in dim.factors:
                size *= kept_size(factor, keeps)
            return size
        case Sum():
            return sum(kept_size(t, keeps) for t in dim.terms)
    return int(evaluate(dim, keeps).sum())


def evaluate(dim: Dim, keeps: Keeps) -> Bools:
    """Which slots of `dim` remain: shape `(dim.size,)`.

    >>> from graphprune.dims.expr import Atom, Const, multiply
    >>> heads, width = Atom(1, 3), Const(2)
    >>> evaluate(multiply([heads, width]), {1: Slots(np.array([0, 2]))}).nonzero()[0].tolist()
    [0, 1, 4, 5]
    """
    if not any(a in keeps for a in dim.atoms):
        return np.ones(dim.size, dtype=bool)
    match dim:
        case Atom():
            return keeps[dim.id].mask(dim.size)
        case Sum():
            return np.concatenate([evaluate(t, keeps) for t in dim.terms])
        case Take():
            return evaluate(dim.base, keeps)[dim.index]
        case Product():
            return _evaluate_product(dim, keeps)
    raise TypeError(dim)


def _evaluate_product(dim: Product, keeps: Keeps) -> Bools:
    factors = dim.factors
    found = np.ones([f.size for f in factors], dtype=bool)
    place = {f.id: k for k, f in enumerate(factors) if isinstance(f, Atom)}
    for k, factor in enumerate(factors):
        if not any(a in keeps for a in factor.atoms):
            continue
        outer = keeps[factor.id].outer if isinstance(factor, Atom) else ()
        shape = [1] * len(factors)
        shape[k] = factor.size
        for o in outer:
            shape[place[o]] = factors[place[o]].size
        found &= evaluate(factor, keeps).reshape(shape)
    return found.reshape(-1)


def positions(dim: Dim, keeps: Keeps) -> Ints:
    """The original positions that remain along an axis, ascending."""
    return np.flatnonzero(evaluate(dim, keeps))


def slots_of(dim: Dim, atom: int) -> Ints:
    """For every position of `dim` the slot of `atom` it belongs to, or -1; shape `(dim.size,)`."""
    if atom not in dim.atoms:
        return np.full(dim.size, -1, dtype=np.int64)
    match dim:
        case Atom():
            return np.arange(dim.size)
        case Sum():
            return np.concatenate([slots_of(t, atom) for t in dim.terms])
        case Take():
            return slots_of(dim.base, atom)[dim.index]
        case Product():
            at = next(k for k, f in enumerate(dim.factors) if atom in f.atoms)
            shape = [1] * len(dim.factors)
            shape[at] = -1
            sizes = [f.size for f in dim.factors]
            return np.broadcast_to(slots_of(dim.factors[at], atom).reshape(shape), sizes).reshape(-1)
    raise TypeError(dim)


def cut(array: NDArray[np.generic], dims: Sequence[Dim], keeps: Keeps) -> NDArray[np.generic]:
    """`array` (one axis for each of `dims`) with only the kept slots; the rewriter's one operation."""
    mentioned = {a for d in dims for a in d.atoms if a in keeps}
    if any(keeps[a].outer for a in mentioned):
        return _cut_blocks(array, dims, keeps)
    for axis, dim in enumerate(dims):
        if any(a in keeps for a in dim.atoms):
            array = np.take(array, positions(dim, keeps), axis=axis)
    return array


def _cut_blocks(
    array: NDArray[np.generic], dims: Sequence[Dim], keeps: Keeps, done: int = 0
) -> NDArray[np.generic]:
    """Cut term by term along every concatenated axis, then each block by its factors."""
    for axis in range(done, len(dims)):
        terms = terms_of(dims[axis])
        if len(terms) > 1:
            ends = np.cumsum([t.size for t in terms])[:-1]
            blocks = [
                _cut_blocks(block, [*dims[:axis], term, *dims[axis + 1 :]], keeps, axis + 1)
                for block, term in zip(np.split(array, ends, axis=axis), terms, strict=True)
            ]
            return np.concatenate(blocks, axis=axis)
    return _cut_block(array, dims, keeps)


def _cut_block(array: NDArray[np.generic], dims: Sequence[Dim], keeps: Keeps) -> NDArray[np.generic]:
    factors = [f for d in dims for f in factors_of(d)]
    array = array.reshape([f.size for f in factors])
    place = {f.id: k for k, f in enumerate(factors) if isinstance(f, Atom)}
    for k in _inner_first(factors, keeps):
        factor = factors[k]
        if not any(a in keeps for a in factor.atoms):
            continue
        if _is_private(factor, keeps):
            kept = keeps[factor.id]  # type: ignore[union-attr]
            order = sorted(range(len(kept.outer)), key=lambda j: place[kept.outer[j]])
            index = kept.index.transpose([*order, len(kept.outer)])
            shape = [1] * len(factors)
            for o in kept.outer:
                shape[place[o]] = factors[place[o]].size
            # The outer factors run before the inner one wherever they stand, so move the axis last.
            moved = np.moveaxis(array, k, -1)
            del shape[k]
            array = np.moveaxis(
                np.take_along_axis(
                    moved,
                    np.broadcast_to(index.reshape([*shape, kept.count]), [*moved.shape[:-1], kept.count]),
                    -1,
                ),
                -1,
                k,
            )
        else:
            array = np.take(array, positions(factor, keeps), axis=k)
    return array.reshape([kept_size(d, keeps) for d in dims])


def _inner_first(factors: Sequence[Dim], keeps: Keeps) -> list[int]:
    """The order of cutting: a factor before all that it lies inside of, which still have their sizes then."""
    waiting = {k: f for k, f in enumerate(factors) if isinstance(f, Atom) and _is_private(f, keeps)}
    ordered: list[int] = []
    while waiting:
        outer = {o for f in waiting.values() for o in keeps[f.id].outer}
        free = [k for k, f in waiting.items() if f.id not in outer] or list(waiting)
        ordered += free
        waiting = {k: f for k, f in waiting.items() if k not in free}
    return [*ordered, *(k for k in range(len(factors)) if k not in ordered)]


def _is_private(factor: Dim, keeps: Keeps) -> bool:
    return isinstance(factor, Atom) and factor.id in keeps and bool(keeps[factor.id].outer)


def fold(
    array: NDArray[np.generic], dims: Sequence[Dim], atom: int, outer: Sequence[int] = ()
) -> NDArray[np.float64]:
    """Sum of `array` over everything but the slots of `atom` (and of `outer`).

    Args:
        array: one axis for each of `dims`.
        dims: expressions that mention `atom`.
        atom: id of the atom whose slots are summed apart.
        outer: ids of atoms whose slots are summed apart too.

    Returns:
        Shape `(*outer sizes, atom size)`.
    """
    if not outer:
        total: NDArray[np.float64] | None = None
        for axis, dim in enumerate(dims):
            if atom in dim.atoms:
                rest = tuple(k for k in range(len(dims)) if k != axis)
                slots = slots_of(dim, atom)
                along = array.sum(axis=rest, dtype=np.float64)[slots >= 0]
                size = atom_size(dim, atom)  # an index may leave the last slots out
                found = np.asarray(np.bincount(slots[slots >= 0], along, size), np.float64)
                total = found if total is None else total + found
        assert total is not None
        return total
    return _fold_blocks(array, list(dims), atom, tuple(outer))


def _fold_blocks(
    array: NDArray[np.generic], dims: list[Dim], atom: int, outer: tuple[int, ...]
) -> NDArray[np.float64]:
    for axis, dim in enumerate(dims):
        terms = terms_of(dim)
        if len(terms) > 1:
            ends = np.cumsum([t.size for t in terms])[:-1]
            parts = zip(np.split(array, ends, axis=axis), terms, strict=True)
            blocks = [(block, [*dims[:axis], term, *dims[axis + 1 :]]) for block, term in parts]
            found = [_fold_blocks(b, d, atom, outer) for b, d in blocks if any(atom in x.atoms for x in d)]
            return np.asarray(np.sum(found, axis=0), dtype=np.float64)
    factors = [f for d in dims for f in factors_of(d)]
    array = array.reshape([f.size for f in factors])
    place = {f.id: k for k, f in enumerate(factors) if isinstance(f, Atom)}
    wanted = [*(place[o] for o in outer), place[atom]]
    summed: NDArray[np.float64] = array.sum(
        axis=tuple(k for k in range(len(factors)) if k not in wanted), dtype=np.float64
    )
    order = np.argsort(np.argsort(wanted))
    return summed.transpose(order)
