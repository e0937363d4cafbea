"""The algebra against numpy: evaluating expressions must agree with moving a mask through the same moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from graphprune.analysis.private import outer_atoms
from graphprune.dims import Atom, Dim, Slots, Solver, add, kept_size
from graphprune.dims.evaluate import cut, evaluate, positions, slots_of
from graphprune.dims.expr import take
from graphprune.rules import NodeContext

Array = NDArray[Any]


class World:
    """Tensors with symbolic dimensions, and how each was made from others."""

    def __init__(self) -> None:
        self.solver = Solver()
        self.tensors: list[list[Dim]] = []
        self.made: list[Callable[[list[Array]], Array] | None] = []  # None: a source
        self.equal: list[tuple[int, int]] = []
        self.frozen: list[tuple[int, int]] = []  # tensor and axis
        self.context = NodeContext(
            op="Test",
            name="test",
            version=21,
            attributes={},
            inputs=(),
            present=(),
            constant=(),
            values=(),
            recorded=(),
            output_shapes=(),
            output_dynamic=(),
            solver=self.solver,
        )

    def shape(self, k: int) -> list[int]:
        return [d.size for d in self.tensors[k]]

    def source(self, shape: list[int]) -> None:
        self.tensors.append([self.solver.fresh(s) for s in shape])
        self.made.append(None)

    def derive(self, dims: list[Dim], how: Callable[[list[Array]], Array]) -> None:
        self.tensors.append(dims)
        self.made.append(how)

    def dims(self, k: int) -> list[Dim]:
        return [self.solver.resolve(d) for d in self.tensors[k]]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def _step(draw: st.DrawFn, w: World) -> None:
    k = draw(st.integers(0, len(w.tensors) - 1))
    dims, shape = w.dims(k), w.shape(k)
    kind = draw(
        st.sampled_from(
            ("source", "reshape", "transpose", "concat", "split", "take", "equal", "equal", "freeze")
        )
    )
    axis = draw(st.integers(0, len(shape) - 1))
    if kind == "source":
        w.source(draw(st.lists(st.sampled_from((2, 3, 4, 6, 8, 12)), min_size=1, max_size=3)))
    elif kind == "reshape":
        total, sizes = math.prod(shape), []
        for _ in range(draw(st.integers(0, 3))):
            sizes.append(draw(st.sampled_from(_divisors(total))))
            total //= sizes[-1]
        sizes.append(total)
        w.derive(list(w.context.reshaped(dims, sizes)), lambda m: m[k].reshape(sizes))
    elif kind == "transpose":
        order = draw(st.permutations(range(len(shape))))
        w.derive([dims[j] for j in order], lambda m: m[k].transpose(order))
    elif kind == "concat":
        fits = [j for j in range(len(w.tensors)) if _alike(shape, w.shape(j), axis)]
        j = draw(st.sampled_from(fits))
        if shape[axis] + w.shape(j)[axis] > 64:
            return
        for a, (one, two) in enumerate(zip(dims, w.dims(j), strict=True)):
            if a != axis:
                w.solver.unify(one, two)
        joined = add(w.solver.resolve(d) for d in (w.tensors[k][axis], w.tensors[j][axis]))
        made = [*w.tensors[k][:axis], joined, *w.tensors[k][axis + 1 :]]
        w.derive(made, lambda m: np.concatenate([m[k], m[j]], axis=axis))
    elif kind == "split" and shape[axis] > 1:
        at = draw(st.integers(1, shape[axis] - 1))
        left, right = w.solver.split(dims[axis], at)
        w.derive([*dims[:axis], left, *dims[axis + 1 :]], lambda m: np.split(m[k], [at], axis=axis)[0])
        w.derive([*dims[:axis], right, *dims[axis + 1 :]], lambda m: np.split(m[k], [at], axis=axis)[1])
    elif kind == "take":
        index = np.array(draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=shape[axis])))
        whole = draw(st.booleans())
        if whole:
            index = np.array(draw(st.permutations(range(shape[axis]))))
        # What leaves slots out must be picked, or the result could lose all of its slots.
        taken = take(dims[axis], index) if whole and draw(st.booleans()) else w.solver.pick(dims[axis], index)
        w.derive([*dims[:axis], taken, *dims[axis + 1 :]], lambda m: m[k][(slice(None),) * axis + (index,)])
    elif kind == "freeze":
        w.solver.freeze(dims[axis], "as a test")
        w.frozen.append((k, axis))
    elif kind == "equal":
        same = [j for j in range(len(w.tensors)) if w.shape(j) == shape and j != k]
        if same:
            j = draw(st.sampled_from(same))
            for one, two in zip(w.tensors[k], w.tensors[j], strict=True):
                w.solver.unify(one, two)
            w.equal.append((k, j))


def _alike(one: list[int], two: list[int], axis: int) -> bool:
    return len(one) == len(two) and all(
        a == b for k, (a, b) in enumerate(zip(one, two, strict=True)) if k != axis
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    w = World()
    w.source(draw(st.lists(st.sampled_from((2, 3, 4, 6, 8, 12)), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 9))):
        _step(draw, w)
    return w


def _keeps(w: World, seed: int, private: bool) -> dict[int, Slots]:
    """Random slots for every atom that is not frozen."""
    tensors = [w.dims(k) for k in range(len(w.tensors))]
    random = np.random.default_rng(seed)
    sizes = {a.id: a.size for dims in tensors for d in dims for a in _atoms(d)}
    outer = outer_atoms(tensors, frozenset(), frozenset(w.solver.jumbled)) if private else {}
    keeps: dict[int, Slots] = {}
    for atom, size in sorted(sizes.items()):
        if atom in w.solver.frozen or random.random() < 0.3:
            continue
        if any(atom in keeps[o].outer for o in keeps):  # an outer atom stays whole, as decisions have it
            continue
        around = tuple(o for o in outer.get(atom, ()) if o not in keeps)
        if around != outer.get(atom, ()):
            around = ()
        count = int(random.integers(1, size + 1))
        scores = random.random((*(sizes[o] for o in around), size))
        keeps[atom] = Slots(np.sort(np.argsort(scores, axis=-1)[..., :count], axis=-1), around)
    return keeps


def _atoms(dim: Dim) -> list[Atom]:
    if isinstance(dim, Atom):
        return [dim]
    parts = getattr(dim, "factors", None) or getattr(dim, "terms", None)
    if parts is None:
        parts = (dim.base,) if hasattr(dim, "base") else ()
    return [a for p in parts for a in _atoms(p)]


def _mask(dims: list[Dim], keeps: dict[int, Slots]) -> Array:
    """Which elements of a tensor stay, according to the expressions."""
    shape = [d.size for d in dims]
    kept = cut(np.arange(math.prod(shape)).reshape(shape), dims, keeps)
    assert kept.shape == tuple(kept_size(d, keeps) for d in dims)
    mask = np.zeros(math.prod(shape), dtype=bool)
    mask[kept.ravel()] = True
    return mask.reshape(shape)


@settings(max_examples=600, derandomize=True, deadline=None)
@given(worlds(), st.integers(0, 1 << 16), st.booleans())
def test_evaluation_agrees_with_moving_masks(w: World, seed: int, private: bool) -> None:
    keeps = _keeps(w, seed, private)
    masks: list[Array] = []
    for k, how in enumerate(w.made):
        dims = w.dims(k)
        assert [d.size for d in dims] == w.shape(k)
        mask = _mask(dims, keeps)
        if how is not None:
            assert (how(masks) == mask).all(), (k, dims, keeps)
        masks.append(mask)
    for one, two in w.equal:
        assert w.dims(one) == w.dims(two) or (masks[one] == masks[two]).all()


@settings(max_examples=600, derandomize=True, deadline=None)
@given(worlds(), st.integers(0, 1 << 16), st.booleans())
def test_a_frozen_axis_stays_whole_whatever_follows(w: World, seed: int, private: bool) -> None:
    for k, axis in w.frozen:
        dim = w.solver.resolve(w.tensors[k][axis])
        assert dim.atoms <= w.solver.frozen.keys()
        # Other atoms may lose slots, also different ones for each slot of a frozen atom.
        assert evaluate(dim, _keeps(w, seed, private)).all()


@settings(max_examples=200, derandomize=True, deadline=None)
@given(worlds(), st.integers(0, 1 << 16))
def test_parts_of_an_evaluation_agree(w: World, seed: int) -> None:
    keeps = _keeps(w, seed, private=False)
    for k in range(len(w.tensors)):
        for dim in w.dims(k):
            mask = evaluate(dim, keeps)
            assert mask.shape == (dim.size,)
            assert mask.sum() == kept_size(dim, keeps) == len(positions(dim, keeps))
            for atom in dim.atoms:
                slots = slots_of(dim, atom)
                assert slots.shape == (dim.size,)
                if atom in keeps:
                    gone = (slots >= 0) & ~np.isin(slots, keeps[atom].index)
                    assert not (mask & gone).any()


def test_sizes_must_agree() -> None:
    solver = Solver()
    with pytest.raises(ValueError, match="slots meet"):
        solver.unify(solver.fresh(4), solver.fresh(6))
