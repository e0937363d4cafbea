"""Unification: two expressions of one axis become one by refining atoms; where that fails both are frozen."""

from __future__ import annotations

import numpy as np
import pytest

from graphprune.dims import Atom, Const, Dim, Product, Solver, Sum, add, multiply
from graphprune.dims.expr import Take, take


@pytest.fixture
def solver() -> Solver:
    return Solver()


def same(solver: Solver, *dims: Dim) -> bool:
    return len({solver.resolve(d) for d in dims}) == 1


def test_two_atoms_become_one(solver: Solver) -> None:
    a, b, c = (solver.fresh(6) for _ in range(3))
    solver.unify(a, b)
    solver.unify(b, c)
    assert same(solver, a, b, c)
    assert isinstance(solver.resolve(a), Atom)


def test_an_atom_becomes_a_product(solver: Solver) -> None:
    width, heads, depth = solver.fresh(12), solver.fresh(3), solver.fresh(4)
    solver.unify(width, multiply([heads, depth]))
    assert solver.resolve(width) == multiply([heads, depth])


def test_products_with_other_cuts_meet_in_their_common_factors(solver: Solver) -> None:
    left = multiply([solver.fresh(6), solver.fresh(4)])
    right = multiply([solver.fresh(2), solver.fresh(12)])
    solver.unify(left, right)
    found = solver.resolve(left)
    assert same(solver, left, right)
    assert isinstance(found, Product)
    assert [f.size for f in found.factors] == [2, 3, 4]


def test_sums_are_cut_at_all_cut_points(solver: Solver) -> None:
    left = add([solver.fresh(4), solver.fresh(8)])
    right = add([solver.fresh(6), solver.fresh(6)])
    solver.unify(left, right)
    found = solver.resolve(left)
    assert same(solver, left, right)
    assert isinstance(found, Sum)
    assert [t.size for t in found.terms] == [4, 2, 6]


def test_a_channel_shuffle_makes_all_parts_one(solver: Solver) -> None:
    a, b, n = solver.fresh(5), solver.fresh(5), solver.fresh(5)
    solver.unify(add([a, b]), multiply([Const(2), n]))
    assert same(solver, a, b, n)


def test_rotary_halves_become_equal(solver: Solver) -> None:
    heads, width = solver.fresh(3), solver.fresh(8)
    low, high = solver.split(width, 4)
    solver.unify(add([low, high]), add([high, low]))
    assert same(solver, low, high)
    assert solver.resolve(multiply([heads, width])).size == 24


def test_a_constant_freezes_what_meets_it_and_keeps_its_reason(solver: Solver) -> None:
    a = solver.fresh(4)
    solver.unify(a, Const(4, "because"))
    assert solver.why(a) == "because"


def test_only_the_part_that_meets_a_constant_is_frozen(solver: Solver) -> None:
    a = solver.fresh(10)
    solver.unify(a, add([Const(4, "because"), solver.fresh(6)]))
    head, tail = solver.split(a, 4)
    assert solver.why(head) == "because"
    assert solver.why(tail) == ""


def test_a_reason_survives_refinement(solver: Solver) -> None:
    a = solver.fresh(12)
    solver.freeze(a, "because")
    outer, inner = solver.factor(a, 3)
    assert solver.why(outer) == solver.why(inner) == "because"
    assert solver.why(solver.split(outer, 1)[1]) == "because"


def test_the_first_reason_stays(solver: Solver) -> None:
    a = solver.fresh(4)
    solver.freeze(a, "first")
    solver.freeze(a, "second")
    assert solver.why(a) == "first"


def test_sizes_must_agree(solver: Solver) -> None:
    with pytest.raises(ValueError, match="slots meet"):
        solver.unify(solver.fresh(4), solver.fresh(5))


def test_a_single_slot_is_a_constant(solver: Solver) -> None:
    assert solver.fresh(1) == Const(1)


def test_products_without_common_factor_are_frozen(solver: Solver) -> None:
    left = multiply([solver.fresh(4), solver.fresh(9)])
    right = multiply([solver.fresh(9), solver.fresh(4)])
    solver.unify(left, right)
    assert "laid out in two ways" in solver.why(left)
    assert "laid out in two ways" in solver.why(right)


def test_an_atom_does_not_become_part_of_itself(solver: Solver) -> None:
    a = solver.fresh(6)
    row = multiply([Const(2), a])
    other = multiply([a, Const(2)])
    solver.unify(row, other)  # the first factors 2 and 6 meet: 6 = 2 x 3, and so on
    assert solver.resolve(row).size == 12
    assert same(solver, row, other) or solver.why(a)


# -- splitting, factoring, picking -------------------------------------------------------------


@pytest.mark.parametrize("at", range(13))
def test_splitting_anything_anywhere_keeps_all_slots(solver: Solver, at: int) -> None:
    dim = add([multiply([solver.fresh(2), solver.fresh(3)]), Const(2), take(solver.fresh(4), [3, 2, 1, 0])])
    head, tail = solver.split(dim, at)
    assert (head.size, tail.size) == (at, 12 - at)
    assert add([solver.resolve(head), solver.resolve(tail)]).size == 12


def test_a_product_is_split_in_the_middle_of_a_row(solver: Solver) -> None:
    rows, columns = solver.fresh(4), solver.fresh(6)
    head, tail = solver.split(multiply([rows, columns]), 14)
    assert (head.size, tail.size) == (14, 10)
    assert [t.size for t in solver.resolve(columns).terms] == [2, 4]  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "outer"), [(12, 1), (12, 2), (12, 3), (12, 6), (12, 12)])
def test_factoring_an_atom(solver: Solver, size: int, outer: int) -> None:
    a = solver.fresh(size)
    one, two = solver.factor(a, outer)
    assert (one.size, two.size) == (outer, size // outer)
    assert solver.resolve(a) == multiply([solver.resolve(one), solver.resolve(two)])


def test_factoring_across_the_factors(solver: Solver) -> None:
    dim = multiply([solver.fresh(6), solver.fresh(4)])
    one, two = solver.factor(dim, 12)
    assert (one.size, two.size) == (12, 2)
    assert multiply([solver.resolve(one), solver.resolve(two)]) == solver.resolve(dim)


def test_factoring_a_sum_makes_the_inner_parts_equal(solver: Solver) -> None:
    dim = add([solver.fresh(8), solver.fresh(4)])
    rows, inner = solver.factor(dim, 3)
    assert (rows.size, inner.size) == (3, 4)
    assert multiply([rows, inner]) == solver.resolve(dim)


def test_factoring_what_has_no_such_factor_is_an_error(solver: Solver) -> None:
    with pytest.raises(ValueError, match="no factor 5"):
        solver.factor(solver.fresh(12), 5)


def test_complete_rows_of_a_rearrangement(solver: Solver) -> None:
    rows = take(solver.fresh(6), [4, 5, 0, 1, 2, 3])
    outer, inner = solver.factor(rows, 3)
    assert isinstance(outer, Take | Sum)
    assert (outer.size, inner.size) == (3, 2)


def test_a_permutation_meets_an_atom(solver: Solver) -> None:
    a, b = solver.fresh(4), solver.fresh(4)
    solver.unify(take(a, [2, 0, 3, 1]), b)
    assert same(solver, take(solver.resolve(a), [2, 0, 3, 1]), b)


def test_a_permutation_of_itself_ties_the_cycles(solver: Solver) -> None:
    a = solver.fresh(6)
    solver.unify(take(a, [1, 0, 3, 4, 2, 5]), a)
    found = solver.resolve(a)
    assert isinstance(found, Take)
    assert found.base.size == 3  # the cycles (0 1), (2 3 4) and (5)
    assert found.index.tolist() == [0, 0, 1, 1, 1, 2]


def test_picked_slots_become_a_dimension_of_their_own(solver: Solver) -> None:
    a = solver.fresh(6)
    picked = solver.pick(a, np.array([4, 1]))
    assert isinstance(picked, Take)
    assert isinstance(picked.base, Atom)
    assert picked.base.size == 2
    assert solver.resolve(a).atoms > picked.atoms


def test_the_halves_of_a_rearrangement_do_not_share_slots(solver: Solver) -> None:
    head, tail = solver.split(take(solver.fresh(6), [5, 0, 3, 1, 4, 2]), 3)
    assert not solver.resolve(head).atoms & solver.resolve(tail).atoms
