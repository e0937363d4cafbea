"""Expressions: canonical forms."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.dims import Atom, Const, Dim, Product, Sum, Take, add, atoms_in, atoms_of, multiply
from graphprune.dims.expr import take

A, B, C = Atom(1, 2), Atom(2, 3), Atom(3, 4)


def test_products_are_flat_and_without_ones() -> None:
    assert multiply([multiply([A, B]), Const(1), C]) == multiply([A, B, C])
    assert multiply([A]) == A
    assert multiply([]) == Const(1)
    assert multiply([Const(2), Const(3), A]) == Product((Const(6), A))


def test_sums_are_flat_and_without_empty_terms() -> None:
    assert add([add([A, B]), Const(0), C]) == Sum((A, B, C))
    assert add([Const(2), Const(3), A]) == Sum((Const(5), A))
    assert add([]) == Const(0)


def test_a_leading_sum_is_multiplied_out() -> None:
    assert multiply([add([A, B]), C]) == add([multiply([A, C]), multiply([B, C])])
    inner = multiply([A, add([B, C])])  # rows of b and c side by side: no concatenation
    assert isinstance(inner, Product)


def test_order_matters() -> None:
    assert multiply([A, B]) != multiply([B, A])
    assert add([A, B]) != add([B, A])


@pytest.mark.parametrize("dim", [A, multiply([A, B]), add([A, B]), take(A, [1, 0])])
def test_equal_expressions_hash_alike(dim: Dim) -> None:
    twins = {dim: 1}
    twins[dim] = 2
    assert len(twins) == 1
    assert dim != Const(dim.size)


def test_sizes_and_atoms() -> None:
    dim = add([multiply([A, B]), Const(5), take(C, [3, 0])])
    assert dim.size == 13
    assert dim.atoms == atoms_in([A, B, C])
    assert atoms_of(multiply([C, A])) == (3, 1)
    assert atoms_of(dim) == (1, 2, 3)


def test_taking_everything_in_order_is_nothing() -> None:
    assert take(A, [0, 1]) is A
    assert take(take(C, [3, 2, 1, 0]), [3, 2, 1, 0]) == C


def test_taking_from_one_term_or_term_by_term() -> None:
    both = add([A, B])
    assert take(both, [2, 3, 4]) == B
    assert take(both, [2, 3, 4, 0, 1]) == add([B, A])
    assert take(both, [1, 0]) == Take(A, np.array([1, 0]))
    assert isinstance(take(both, [0, 2, 1, 3, 4]), Take)


def test_taking_from_a_constant_is_constant() -> None:
    assert take(Const(5, "why"), [1, 1]) == Const(2)


def test_permutations() -> None:
    assert Take(C, np.array([1, 0, 3, 2])).is_permutation
    assert not Take(C, np.array([1, 0, 3])).is_permutation
    assert not Take(C, np.array([1, 1, 3, 2])).is_permutation
