"""Unification of dimension expressions by refining atoms.

Two expressions for one axis are made equal: `a:768` meets `12 x 64` and becomes a product; `a + b`
meets `2 x n` (a channel shuffle) and a, b and n become one; `a:96` meets `b:64 + c:32` and is cut in
two. Where no refinement fits, both sides are frozen: keeping every slot satisfies any equation, so
freezing is always sound.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from graphprune.dims.expr import Atom, Const, Dim, Product, Sum, Take, add, multiply, take

_ONE = Const(1)
_PART = "tells the parts of a concatenation apart"


class Mismatch(ValueError):
    """Raised where dimensions are equated, or factored, whose sizes do not allow it."""


class Solver:
    """Holds the atoms of one analysis: what they were refined into and which are frozen, and why.

    Attributes:
        frozen: a reason for each atom no slot of which may be removed.
        stored: atoms that are the whole of an axis that a model stores, so that their size never changes.
        jumbled: frozen atoms whose slots meet other slots than their own, so that nothing beside them may
            keep other indices for each of them.
    """

    def __init__(self) -> None:
        self._count = 0
        self._bound: dict[int, Dim] = {}
        self._atoms: dict[int, Atom] = {}
        self.frozen: dict[int, str] = {}
        self.stored: set[int] = set()
        self.jumbled: set[int] = set()

    # -- making -------------------------------------------------------------------------------

    def fresh(self, size: int, why: str = "a single slot") -> Dim:
        """A new atom; one slot alone can never be removed, so size 1 gives a constant."""
        if size <= 1:
            return Const(size, why)
        self._count += 1
        atom = self._atoms[self._count] = Atom(self._count, size)
        return atom

    def resolve(self, dim: Dim) -> Dim:
        """`dim` with every refined atom replaced, in canonical form."""
        if self._bound.keys().isdisjoint(dim.atoms):
            return dim
        match dim:
            case Atom():
                return self._resolve_chain(dim)
            case Product():
                return multiply(self.resolve(f) for f in dim.factors)
            case Sum():
                return add(self.resolve(t) for t in dim.terms)
            case Take():
                return take(self.resolve(dim.base), dim.index)
        return dim

    def _resolve_chain(self, dim: Dim) -> Dim:
        """Follow an atom through the atoms it was bound to: a deep network makes long chains."""
        passed: list[int] = []
        while isinstance(dim, Atom) and dim.id in self._bound:
            passed.append(dim.id)
            dim = self._bound[dim.id]
        done = self.resolve(dim)
        self._bound.update(dict.fromkeys(passed, done))
        return done

    def freeze(self, dim: Dim, why: str) -> None:
        """Forbid the removal of any slot of `dim`; the first reason given stays."""
        for atom in self.resolve(dim).atoms:
            self.frozen.setdefault(atom, why)

    def why(self, dim: Dim) -> str:
        """A reason why some slot of `dim` cannot be removed, or an empty string."""
        dim = self.resolve(dim)
        if isinstance(dim, Const):
            return dim.why
        return next((self.frozen[a] for a in sorted(dim.atoms) if a in self.frozen), "")

    # -- refining -----------------------------------------------------------------------------

    def unify(self, left: Dim, right: Dim) -> None:
        """Make both expressions equal slot by slot.

        Raises:
            Mismatch: their sizes differ.
        """
        left, right = self.resolve(left), self.resolve(right)
        if left == right:
            return
        if left.size != right.size:
            raise Mismatch(f"{left.size} slots meet {right.size}")
        if isinstance(left, Const) or isinstance(right, Const):
            constant, other = (left, right) if isinstance(left, Const) else (right, left)
            self._jumble(other, constant.why or "tied to a dimension of fixed size")  # type: ignore[union-attr]
        elif isinstance(left, Atom) and left.id not in right.atoms:
            self._bind(left, right)
        elif isinstance(right, Atom) and right.id not in left.atoms:
            self._bind(right, left)
        elif isinstance(left, Take) or isinstance(right, Take):
            self._unify_taken(left, right)
        elif isinstance(left, Sum) or isinstance(right, Sum):
            self._unify_sums(left, right)
        elif isinstance(left, Product) and isinstance(right, Product):
            self._unify_products(left, right)
        else:  # an atom that meets a rearrangement of itself
            self._give_up(left, right)

    def _bind(self, atom: Atom, to: Dim) -> None:
        """Refine an atom; what was said of it holds for all that it becomes."""
        if atom.id in self._bound:  # refined since the caller looked: a binding is never replaced
            self.unify(atom, to)
            return
        if isinstance(to, Atom) and atom.id in self.stored:
            self.stored.add(to.id)
        reason = self.frozen.pop(atom.id, None)
        self._bound[atom.id] = to
        if reason is not None:
            self.freeze(to, reason)
        if atom.id in self.jumbled:
            self.jumbled.remove(atom.id)
            self.jumbled |= self.resolve(to).atoms

    def _give_up(self, left: Dim, right: Dim) -> None:
        why = f"laid out in two ways that no common cut serves ({left.size} slots)"
        self._jumble(left, why)
        self._jumble(right, why)

    def _jumble(self, dim: Dim, why: str) -> None:
        """Freeze one side of an equation that goes on unsolved: both sides keep a layout of their own."""
        self.freeze(dim, why)
        self.jumbled |= self.resolve(dim).atoms

    def _unify_taken(self, left: Dim, right: Dim) -> None:
        for a, b in ((left, right), (right, left)):
            if isinstance(a, Take) and a.is_permutation and not a.atoms & b.atoms:
                back = np.argsort(a.index)
                base = self.resolve(a.base)
                if isinstance(base, Atom):
                    self._bind(base, take(b, back))
                    return
        for a, b in ((left, right), (right, left)):
            if isinstance(a, Take) and a.is_permutation and isinstance(b, Atom) and a.base == b:
                cycles = _cycles(a.index)
                self._bind(b, take(self.fresh(int(cycles.max()) + 1), cycles))
                return
        if isinstance(left, Sum) or isinstance(right, Sum):
            self._unify_sums(left, right)
            return
        self._give_up(left, right)

    def _unify_sums(self, left: Dim, right: Dim) -> None:
        """Cut both at the union of their cut points and unify piece by piece."""
        while left.size and right.size:
            left, right = self.resolve(left), self.resolve(right)
            first, other = _head(left), _head(right)
            if first.size > other.size:
                one, rest = self.split(first, other.size)
                self.unify(one, other)
                left, right = add([rest, _tail(left)]), _tail(right)
            elif first.size < other.size:
                one, rest = self.split(other, first.size)
                self.unify(first, one)
                left, right = _tail(left), add([rest, _tail(right)])
            else:
                self.unify(first, other)
                left, right = _tail(left), _tail(right)

    def _unify_products(self, left: Product, right: Product) -> None:
        """Match factors from the outermost inwards, factoring the larger of two."""
        one, other = left.factors[0], right.factors[0]
        rest_one, rest_other = multiply(left.factors[1:]), multiply(right.factors[1:])
        if one.size % other.size and other.size % one.size:
            self._give_up(left, right)
            return
        if one.size > other.size:
            one, inner = self.factor(one, other.size)
            rest_one = multiply([inner, rest_one])
        elif one.size < other.size:
            other, inner = self.factor(other, one.size)
            rest_other = multiply([inner, rest_other])
        self.unify(one, other)
        self.unify(rest_one, rest_other)

    def split(self, dim: Dim, at: int) -> tuple[Dim, Dim]:
        """Cut `dim` into its first `at` slots and the rest, refining atoms as needed."""
        dim = self.resolve(dim)
        if at <= 0:
            return Const(0), dim
        if at >= dim.size:
            return dim, Const(0)
        match dim:
            case Const():
                return Const(at, dim.why), Const(dim.size - at, dim.why)
            case Take():
                head, tail = self.pick(dim.base, dim.index[:at]), self.pick(dim.base, dim.index[at:])
                return self.resolve(head), tail
            case Sum():
                first, rest = dim.terms[0], add(dim.terms[1:])
                if at >= first.size:
                    head, tail = self.split(rest, at - first.size)
                    return add([first, head]), tail
                head, tail = self.split(first, at)
                return head, add([tail, rest])
            case Product():
                return self._split_product(dim, at)
        left, right = self.fresh(at), self.fresh(dim.size - at)
        self._bind(dim, add([left, right]))
        return self.resolve(left), self.resolve(right)

    def pick(self, dim: Dim, index: NDArray[np.int64]) -> Dim:
        """Slots `index` of `dim`, in this order; never can all of them be removed.

        If slots are left out, those that are picked become dimensions of their own.
        """
        dim = self.resolve(dim)
        picked = np.zeros(dim.size, dtype=bool)
        picked[index] = True
        self._set_apart(dim, picked)
        return take(self.resolve(dim), index)

    def _set_apart(self, dim: Dim, picked: NDArray[np.bool_]) -> None:
        """Make the picked slots and the others different dimensions."""
        if picked.all() or not picked.any():
            return
        dim = self.resolve(dim)  # a part before may have refined the same atom
        match dim:
            case Atom():
                order = np.argsort(~picked, kind="stable")
                parts = self.fresh(int(picked.sum())), self.fresh(int((~picked).sum()))
                self._bind(dim, take(add(parts), np.argsort(order)))
            case Sum():
                ends = np.cumsum([t.size for t in dim.terms])[:-1]
                for term, part in zip(dim.terms, np.split(picked, ends), strict=True):
                    self._set_apart(term, part)
            case Take():
                below = np.zeros(dim.base.size, dtype=bool)
                below[dim.index[picked]] = True  # a repeated slot may be picked at one place only
                self._set_apart(dim.base, below)
            case _:
                self.freeze(dim, "some of its slots are picked by an index")

    def _split_product(self, dim: Product, at: int) -> tuple[Dim, Dim]:
        lead, rest = dim.factors[0], multiply(dim.factors[1:])
        whole, part = divmod(at, rest.size)
        before, after = self.split(lead, whole)
        if part == 0:
            return multiply([before, rest]) if before.size else Const(0), multiply([after, rest])
        _, after = self.split(after, 1)  # the row that is cut in the middle
        left, right = self.split(rest, part)
        above = [multiply([before, rest])] if before.size else []
        below = [multiply([after, rest])] if after.size else []
        return add([*above, left]), add([right, *below])

    def factor(self, dim: Dim, outer: int) -> tuple[Dim, Dim]:
        """Write `dim` as a row-major product of `outer` times the rest, refining atoms as needed.

        Raises:
            Mismatch: its size is no multiple of `outer`.
        """
        dim = self.resolve(dim)
        inner, left = divmod(dim.size, outer)
        if left:
            raise Mismatch(f"{dim.size} slots have no factor {outer}")
        if outer == 1:
            return Const(1), dim
        if inner == 1:
            return dim, Const(1)
        found: tuple[Dim, Dim] | None = None
        match dim:
            case Const():
                found = Const(outer, dim.why), Const(inner, dim.why)
            case Atom():
                found = self.fresh(outer), self.fresh(inner)
                self._bind(dim, multiply(found))
            case Product():
                found = self._factor_product(dim, outer)
            case Sum():
                found = self._factor_sum(dim, inner)
            case Take():
                found = self._factor_taken(dim, inner)
        if found is None:
            why = f"{dim.size} slots regrouped as {outer} x {inner} across their parts"
            self.freeze(dim, why)
            found = Const(outer, why), Const(inner, why)
        return found

    def _factor_product(self, dim: Product, outer: int) -> tuple[Dim, Dim] | None:
        lead, rest = dim.factors[0], multiply(dim.factors[1:])
        if lead.size == outer:
            return lead, rest
        if lead.size % outer == 0:
            one, two = self.factor(lead, outer)
            return one, multiply([two, rest])
        if outer % lead.size == 0:
            one, two = self.factor(rest, outer // lead.size)
            return multiply([lead, one]), two
        common = math.gcd(lead.size, outer)
        if common > 1:
            one, two = self.factor(lead, common)
            return self._factor_common(one, multiply([two, rest]), outer // common)
        return None

    def _factor_common(self, one: Dim, remaining: Dim, outer: int) -> tuple[Dim, Dim] | None:
        if not isinstance(remaining, Product):
            two, three = self.factor(remaining, outer)
            return multiply([one, two]), three
        found = self._factor_product(remaining, outer)
        return None if found is None else (multiply([one, found[0]]), found[1])

    def _factor_sum(self, dim: Sum, inner: int) -> tuple[Dim, Dim] | None:
        """Every piece of `inner` slots becomes the same dimension; the outer one keeps the sum."""
        outers: list[Dim] = []
        common: Dim | None = None
        rest: Dim = dim
        while rest.size:
            head = _head(self.resolve(rest))
            if head.size % inner:
                head, rest = self.split(rest, inner * max(1, head.size // inner))
            else:
                rest = _tail(self.resolve(rest))
            one, two = (
                self.factor(head, head.size // inner)
                if isinstance(head, Atom | Const | Product)
                else (self._factor_piece(head, inner))
            )
            if common is None:
                common = two
            else:
                self.unify(common, two)
            outers.append(Const(1, _PART) if one == _ONE else one)
        assert common is not None
        return self.resolve(add(outers)), self.resolve(common)

    def _factor_piece(self, head: Dim, inner: int) -> tuple[Dim, Dim]:
        return (Const(1), head) if head.size == inner else self.factor(head, head.size // inner)

    def _factor_taken(self, dim: Take, inner: int) -> tuple[Dim, Dim] | None:
        """Rows taken whole: `Take(a x b)` whose index moves complete runs of b."""
        if dim.base.size % inner:
            return None
        rows = dim.index.reshape(-1, inner)
        if (rows[:, 0] % inner).any() or (rows != rows[:, :1] + np.arange(inner)).any():
            return None
        one, two = self.factor(dim.base, dim.base.size // inner)
        return take(self.resolve(one), rows[:, 0] // inner), self.resolve(two)


def _cycles(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every slot the number of the cycle of the permutation `index` that it belongs to."""
    found = np.full(len(index), -1, dtype=np.int64)
    for start in range(len(index)):
        at, number = start, found.max() + 1
        while found[at] < 0:
            found[at], at = number, index[at]
    return found


def _head(dim: Dim) -> Dim:
    return dim.terms[0] if isinstance(dim, Sum) else dim


def _tail(dim: Dim) -> Dim:
    return add(dim.terms[1:]) if isinstance(dim, Sum) else Const(0)
