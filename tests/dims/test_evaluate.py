"""Evaluation: expressions with fewer slots, held against the same thing done slot by slot."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from graphprune.dims import (
    Atom,
    Const,
    Dim,
    Keeps,
    Slots,
    add,
    evaluate,
    kept_size,
    multiply,
    positions,
    slots_of,
)
from graphprune.dims.evaluate import cut, fold
from graphprune.dims.expr import Product, Sum, Take, take

A, B, C = Atom(1, 3), Atom(2, 4), Atom(3, 2)
KEEPS: Keeps = {1: Slots(np.array([0, 2])), 2: Slots(np.array([1, 2, 3]))}
DIMS = [
    A,
    Const(5),
    multiply([A, B]),
    multiply([B, A]),
    add([A, Const(2), B]),
    multiply([C, A, B]),
    multiply([A, add([B, C])]),
    add([multiply([A, B]), C, A]),
    take(A, [2, 0, 1]),
    take(multiply([A, B]), [11, 0, 5, 6]),
    multiply([C, take(A, [2, 0, 1])]),
]


def slots(dim: Dim) -> list[dict[int, int]]:
    """For every position the slot of each atom: the definition, one position after the other."""
    match dim:
        case Atom():
            return [{dim.id: k} for k in range(dim.size)]
        case Const():
            return [{} for _ in range(dim.size)]
        case Sum():
            return [s for t in dim.terms for s in slots(t)]
        case Take():
            return [slots(dim.base)[k] for k in dim.index]
        case Product():
            combinations = itertools.product(*(slots(f) for f in dim.factors))
            return [{k: v for part in parts for k, v in part.items()} for parts in combinations]
    raise TypeError(dim)


def stays(place: dict[int, int], keeps: Keeps) -> bool:
    return all(
        place[a] in kept.index[tuple(place[o] for o in kept.outer)] for a, kept in keeps.items() if a in place
    )


@pytest.mark.parametrize("dim", DIMS, ids=repr)
def test_evaluation_is_what_the_definition_says(dim: Dim) -> None:
    expected = [stays(s, KEEPS) for s in slots(dim)]
    assert evaluate(dim, KEEPS).tolist() == expected
    assert positions(dim, KEEPS).tolist() == np.flatnonzero(expected).tolist()
    assert kept_size(dim, KEEPS) == sum(expected)


@pytest.mark.parametrize("dim", DIMS, ids=repr)
@pytest.mark.parametrize("atom", [1, 2, 9])
def test_slots_of_an_atom(dim: Dim, atom: int) -> None:
    assert slots_of(dim, atom).tolist() == [s.get(atom, -1) for s in slots(dim)]


def test_nothing_is_cut_without_kept_slots() -> None:
    assert all(kept_size(d, {}) == d.size for d in DIMS)


PRIVATE: Keeps = {2: Slots(np.array([[0, 1], [1, 3], [0, 2]]), (1,))}


def test_other_slots_for_each_slot_of_an_outer_atom() -> None:
    dim = multiply([A, B])
    assert positions(dim, PRIVATE).tolist() == [0, 1, 5, 7, 8, 10]
    assert [stays(s, PRIVATE) for s in slots(dim)] == evaluate(dim, PRIVATE).tolist()
    assert kept_size(dim, PRIVATE) == 6


@pytest.mark.parametrize(
    "dims",
    [
        (multiply([A, B]), C),
        (C, multiply([A, B])),
        (A, C, B),
        (B, A),
        (add([multiply([A, B]), multiply([A, B])]), C),
        (A, add([B, B])),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "keeps", [PRIVATE, PRIVATE | {1: Slots(np.array([0, 2]))}], ids=["inner", "inner and outer"]
)
def test_arrays_are_cut_where_the_outer_atom_stands(dims: tuple[Dim, ...], keeps: Keeps) -> None:
    array = np.arange(np.prod([d.size for d in dims])).reshape([d.size for d in dims])
    kept = []
    for index in np.ndindex(*array.shape):
        place = {k: v for dim, at in zip(dims, index, strict=True) for k, v in slots(dim)[at].items()}
        if stays(place, keeps):
            kept.append(int(array[index]))
    found = cut(array, dims, keeps)
    assert sorted(found.ravel().tolist()) == kept
    assert found.shape == tuple(kept_size(d, keeps) for d in dims)


def test_an_atom_inside_another_that_lies_inside_a_third() -> None:
    """What lies innermost is cut first, wherever it stands."""
    draw = np.random.default_rng(0)
    inner = np.sort(draw.permuted(np.tile(np.arange(4), (3, 2, 1)), axis=-1)[..., :3])
    keeps = {2: Slots(inner, (1, 3)), 3: Slots(np.array([[0], [1], [0]]), (1,))}
    array = np.arange(24).reshape(3, 4, 2)
    for order in itertools.permutations(range(3)):
        found = cut(array.transpose(order), [(A, B, C)[k] for k in order], keeps)
        expected = [[array[a, b, c] for b in inner[a, c]] for a, c in enumerate((0, 1, 0))]
        assert np.moveaxis(found, order.index(0), 0).reshape(3, 3).tolist() == expected


@pytest.mark.parametrize(
    "dims", [(A, B), (multiply([A, B]),), (add([A, A]), B), (take(A, [2, 0, 1]), C)], ids=repr
)
def test_folding_sums_over_everything_but_the_slots(dims: tuple[Dim, ...]) -> None:
    array = np.random.default_rng(0).random([d.size for d in dims])
    expected = np.zeros(3)
    for index in np.ndindex(*array.shape):
        place = {k: v for dim, at in zip(dims, index, strict=True) for k, v in slots(dim)[at].items()}
        expected[place[1]] += array[index]
    np.testing.assert_allclose(fold(array, dims, 1), expected)


def test_folding_for_each_outer_slot() -> None:
    array = np.random.default_rng(0).random((2, 12))
    found = fold(array, (C, multiply([A, B])), 2, (1,))
    np.testing.assert_allclose(found, array.sum(axis=0).reshape(3, 4))
