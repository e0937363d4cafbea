"""Which atoms may keep different slots for each slot of another one.

A dimension that only ever occurs *inside* another (the channels of a grouped convolution inside its
groups, a head's width inside the heads) need not keep the same indices everywhere, only equally many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphprune.dims import Atom, Dim, atoms_in, terms_of
from graphprune.dims.evaluate import factors_of
from graphprune.dims.expr import times_in
from graphprune.rules.effects import Contraction


@dataclass(frozen=True, slots=True)
class Summing:
    """A node that sums: over what, the dimensions of each input, and those of all its outputs."""

    contractions: Sequence[Contraction]
    given: Sequence[Sequence[Dim]]
    made: Sequence[Dim]


def outer_atoms(
    tensors: Iterable[Sequence[Dim]],
    shared: frozenset[int],
    mixed: frozenset[int] = frozenset(),
    sums: Iterable[Summing] = (),
) -> dict[int, tuple[int, ...]]:
    """For every atom those that accompany it in every tensor; only atoms that have such are listed.

    Args:
        tensors: the dimensions of every tensor that has any.
        shared: atoms that must keep the same slots everywhere for other reasons.
        mixed: atoms whose slots meet each other (in a norm, say), so that nothing may differ between them.
        sums: every node that sums.
    """
    found: dict[int, set[int]] = {}
    for dims in {tuple(d) for d in tensors if any(x.atoms for x in d)}:
        for atom, outer in _in_tensor(dims).items():
            found[atom] = found[atom] & outer if atom in found else outer
    for summing in sums:
        for contraction in summing.contractions:
            _survivors(found, summing, contraction)
            if len(contraction.operands) > 1:
                for atom in contraction.dim.atoms & found.keys():
                    found[atom] = {o for o in found[atom] if _in_step(o, contraction, summing)}
    found = {a: {o for o in outer - mixed if not _mutual(found, a, o)} for a, outer in found.items()}
    return {a: tuple(sorted(o)) for a, o in found.items() if o and a not in shared}


def _mutual(found: Mapping[int, set[int]], atom: int, other: int) -> bool:
    """Two that always occur together: only one of them, the later made, may depend on the other."""
    return atom in found.get(other, ()) and atom < other


def _survivors(found: Mapping[int, set[int]], summing: Summing, contraction: Contraction) -> None:
    """What a sum leaves standing must be the same for everything it sums over.

    Most often the result no longer mentions what was summed; but a square matrix brings it back.
    """
    beside = atoms_in(d for k in contraction.operands for d in summing.given[k])
    gone = atoms_in(c.dim for c in summing.contractions if c.operands == contraction.operands)
    for atom in (beside - gone) & found.keys():
        found[atom].difference_update(contraction.dim.atoms)


def _in_step(atom: int, contraction: Contraction, summing: Summing) -> bool:
    """Do the operands of a sum meet at equal slots of `atom`? In a Gram matrix every slot meets all."""
    times = sum(times_in(d, atom) for d in summing.made)
    summed = [c.operands for c in summing.contractions if atom in c.dim.atoms]
    return times == 1 and not summed if times else summed == [contraction.operands]


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
