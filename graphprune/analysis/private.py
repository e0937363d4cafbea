"""Which atoms may keep different slots for each slot of another one.

A dimension that only ever occurs *inside* another (the channels of a grouped convolution inside its
groups, a head's width inside the heads) need not keep the same indices everywhere, only equally many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphprune.dims import Atom, Dim, terms_of
from graphprune.dims.evaluate import factors_of


def outer_atoms(
    tensors: Iterable[Sequence[Dim]], shared: frozenset[int], mixed: frozenset[int] = frozenset()
) -> dict[int, tuple[int, ...]]:
    """For every atom those that accompany it in every tensor; only atoms that have such are listed.

    Args:
        tensors: the dimensions of every tensor that has any.
        shared: atoms that must keep the same slots everywhere for other reasons.
        mixed: atoms whose slots meet each other (in a norm, say), so that nothing may differ between them.
    """
    found: dict[int, set[int]] = {}
    for dims in {tuple(d) for d in tensors if any(x.atoms for x in d)}:
        for atom, outer in _in_tensor(dims).items():
            found[atom] = found[atom] & outer if atom in found else outer
    found = {a: {o for o in outer - mixed if not _mutual(found, a, o)} for a, outer in found.items()}
    return {a: tuple(sorted(o)) for a, o in found.items() if o and a not in shared}


def _mutual(found: Mapping[int, set[int]], atom: int, other: int) -> bool:
    """Two that always occur together: only one of them, the later made, may depend on the other."""
    return atom in found.get(other, ()) and atom < other


def _in_tensor(dims: Sequence[Dim]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    lone = [_lone(d) for d in dims]
    for axis, dim in enumerate(dims):
        beside = [a for k, atoms in enumerate(lone) if k != axis for a in atoms]
        for term in terms_of(dim):
            direct = [f.id for f in factors_of(term) if isinstance(f, Atom)]
            for atom in term.atoms:
                block = direct + beside
                outer = {a for a in block if a != atom and block.count(a) == 1}
                if block.count(atom) != 1:
                    outer = set()
                found[atom] = found[atom] & outer if atom in found else outer
    return found


def _lone(dim: Dim) -> list[int]:
    """The atoms an axis is a plain product of; none if it is a concatenation."""
    return [] if len(terms_of(dim)) > 1 else [f.id for f in factors_of(dim) if isinstance(f, Atom)]
