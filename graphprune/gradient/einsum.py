"""Vector-Jacobian product of Einsum: the gradient of an operand is a sum of products of all the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.analysis.facts import NodeFacts
from graphprune.analysis.letters import einsum_letters
from graphprune.gradient.product import Values, default_domain

Array = NDArray[Any]
Term = tuple[str, ...]


def plain_einsum(node: NodeFacts) -> bool:
    """Whether no operand is read along a diagonal."""
    terms = _text(node).split("->")[0].split(",")
    return all(t.count(letter) == 1 for t in terms for letter in t if letter != ".")


def _einsum(node: NodeFacts, values: Values, given: Sequence[Any], asked: Sequence[bool]) -> Sequence[Any]:
    arrays = [values[n] for n in node.inputs]
    letters, result = einsum_letters(_text(node), [a.ndim for a in arrays])
    terms, out = [tuple(t) for t in letters], tuple(result)
    sizes: dict[str, int] = {}
    for array, term in zip(arrays, terms, strict=True):
        for letter, size in zip(term, array.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))

    def full(array: Array, term: Term) -> Array:
        return np.broadcast_to(array, [sizes[x] for x in term])

    factors = [(full(a, t), t) for a, t in zip(arrays, terms, strict=True)]
    found: list[Array | None] = []
    for k, (ask, term) in enumerate(zip(asked, terms, strict=True)):
        others = [(given[0], out), *factors[:k], *factors[k + 1 :]]
        found.append(_product(others, term, sizes) if ask else None)
    return found


def _product(factors: Sequence[tuple[Array, Term]], wanted: Term, sizes: Mapping[str, int]) -> Array:
    """Of all factors, summed over every axis that is not wanted; those that none has repeat it."""
    product, term = factors[0]
    for k, (factor, other) in enumerate(factors[1:], 2):
        later = {x for _, t in factors[k:] for x in t} | set(wanted)
        product, term = _pair(product, term, factor, other, later)
    product, term = _summed(product, term, set(wanted))
    known = tuple(x for x in wanted if x in term)
    turned = product.transpose([term.index(x) for x in known])
    places = tuple(k for k, x in enumerate(wanted) if x not in term)
    return np.broadcast_to(np.expand_dims(turned, places), [sizes[x] for x in wanted])


def _pair(a: Array, left: Term, b: Array, right: Term, later: set[str]) -> tuple[Array, Term]:
    """The product of two factors as one of matrices, summed over what nothing reads later."""
    a, left = _summed(a, left, later | set(right))
    b, right = _summed(b, right, later | set(left))
    shared = [x for x in left if x in right]
    batch, inner = [x for x in shared if x in later], [x for x in shared if x not in later]
    rows, columns = [x for x in left if x not in right], [x for x in right if x not in left]
    size = dict(zip((*left, *right), (*a.shape, *b.shape), strict=True))

    def matrices(array: Array, term: Term, *parts: list[str]) -> Array:
        turned = array.transpose([term.index(x) for part in parts for x in part])
        return turned.reshape([math.prod(size[x] for x in part) for part in parts])

    made = matrices(a, left, batch, rows, inner) @ matrices(b, right, batch, inner, columns)
    term = (*batch, *rows, *columns)
    return made.reshape([size[x] for x in term]), term


def _summed(array: Array, term: Term, kept: set[str]) -> tuple[Array, Term]:
    axes = tuple(k for k, x in enumerate(term) if x not in kept)
    return array.sum(axis=axes) if axes else array, tuple(x for x in term if x in kept)


def _text(node: NodeFacts) -> str:
    return str(node.attributes["equation"]).replace(" ", "")


EINSUM = default_domain({"Einsum": _einsum})
