"""What every dimension is to a user: channels, heads, groups of heads that share a key, ..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graphprune.analysis.facts import GraphFacts, NodeFacts
from graphprune.analysis.weights import Weight
from graphprune.dims import Atom, Dim, Product, Sum, Take, atoms_in, terms_of
from graphprune.rules import find_rule
from graphprune.rules.effects import Alternatives, Effect, Kind


def kinds_of(
    effects: Sequence[Effect],
    weights: Mapping[str, Weight],
    facts: GraphFacts,
    dims: Mapping[str, tuple[Dim, ...]],
) -> dict[int, str]:
    """The kind of every atom of a weight: what a rule said, else channels of a convolution, else neurons."""
    said = [e for e in effects if isinstance(e, Kind)]
    competing = atoms_in(e.dim for e in effects if isinstance(e, Alternatives))
    # Weights side by side are experts if something chooses among them.
    kinds = dict.fromkeys(atoms_in(e.dim for e in said if e.kind == "experts") & competing, "experts")
    for effect in said:
        if effect.kind != "experts":
            for atom in effect.dim.atoms:
                kinds.setdefault(atom, effect.kind)
    filters: dict[int, list[Dim]] = {a: [] for w in weights.values() for d in w.dims for a in d.atoms}
    # A kernel need not be a weight as it is stored: it may be dequantised first, or one of a stack.
    for name in {n for node in facts.all_nodes if _convolves(node) for n in node.inputs[1:]}:
        for dim in dims.get(name, ()):
            for atom in dim.atoms & filters.keys():
                filters[atom].append(dim)  # axes of convolutions that have the atom
    for atom, axes in filters.items():
        if kinds.get(atom) == "groups" and not all(_beside(dim, atom) for dim in axes):
            del kinds[atom]  # a depthwise convolution reads it: every group is one channel
        kinds.setdefault(atom, "channels" if axes else "neurons")
    for atom in _sharing(kinds, weights):
        kinds[atom] = "kv-groups"
    return kinds


def _convolves(node: NodeFacts) -> bool:
    rule = find_rule(node.domain, node.op)
    return rule is not None and "kernel" in rule.kinds.values()


def _beside(dim: Dim, atom: int) -> bool:
    """True if the atom is a factor among others, wherever it occurs in the axis."""
    match dim:
        case Sum():
            return all(_beside(t, atom) for t in dim.terms if atom in t.atoms)
        case Take():
            return _beside(dim.base, atom)
    return isinstance(dim, Product)


def _sharing(kinds: Mapping[int, str], weights: Mapping[str, Weight]) -> Iterator[int]:
    """Heads in which other heads always lie: a key and a value that several queries share."""
    beside: dict[int, set[int]] = {}
    heads = {a for a, kind in kinds.items() if kind == "heads"}
    for weight in weights.values():
        for term in (t for dim in weight.dims if not heads.isdisjoint(dim.atoms) for t in terms_of(dim)):
            found = _heads_in(term, heads)
            for atom in found:
                beside[atom] = beside[atom] & set(found) if atom in beside else set(found)
    for atom in heads & beside.keys():
        if any(atom in others and inner not in beside[atom] for inner, others in beside.items()):
            yield atom


def _heads_in(term: Dim, heads: set[int]) -> list[int]:
    factors = term.factors if isinstance(term, Product) else (term,)
    return [f.id for f in factors if isinstance(f, Atom) and f.id in heads]
