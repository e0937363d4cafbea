"""Which groups are cut, and for each of the others the reason why not."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.analysis import LAYERS, Analysis, Group
from graphprune.decide.layers import is_layer, names_of
from graphprune.dims import Dim, Product, Sum, Take
from graphprune.errors import UsageError

# Of several dimensions that share an axis the first of these kinds is cut: whole heads before their
# width, channels of a grouped convolution before whole groups.
PREFERENCE = (
    "experts",
    "kv-groups",
    "heads",
    "hidden",
    "channels",
    "neurons",
    "groups",
    "head-dim",
    "vocabulary",
)
BLOCKS = frozenset({"experts", "kv-groups", "heads", "groups"})  # each slot is a block of channels
RESIDUAL = "residual"  # on the command line: dimensions whose removal is only approximate
STRUCTURES = (*PREFERENCE, RESIDUAL, LAYERS)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Groups that may be cut, and why the others are not (by key)."""

    groups: tuple[Group, ...]
    reasons: Mapping[str, str]


def choose_candidates(
    analysis: Analysis,
    *,
    structures: Collection[str] | None = None,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    said_by: str = "--structures",
) -> Candidates:
    """Pick the groups to cut: exact ones, one for each axis of a weight; layers behind them, if asked for.

    Args:
        analysis: the analysed model.
        structures: kinds that may be cut; None for every kind that can be cut exactly.
        only: patterns (with * and ?) of weight, tensor or node names; groups that touch none are left alone.
        exclude: patterns of names; groups that touch one are left alone.
        said_by: who chose the structures, for reasons.

    Raises:
        UsageError: an unknown structure, or a pattern that matches nothing.
    """
    for name in structures or ():
        if name not in STRUCTURES:
            raise UsageError(f"unknown structure {name!r}: choose from {', '.join(STRUCTURES)}")
    groups = (*analysis.groups, *(analysis.switches if structures and LAYERS in structures else ()))
    names = {g.key: _names(analysis, g) for g in groups} if only or exclude else {}
    everything = frozenset().union(*names.values()) if names else frozenset()
    wanted, unwanted = (_matching(everything, patterns) for patterns in (only, exclude))
    reasons: dict[str, str] = {}
    free: list[Group] = []
    for group in groups:
        touched = names.get(group.key, frozenset())
        reason = _refusal(group, structures, said_by)
        if not reason and only and not touched & wanted:
            reason = "not among those asked for (--only)"
        if not reason and touched & unwanted:
            reason = "excluded by name (--exclude)"
        if reason:
            reasons[group.key] = reason
        else:
            free.append(group)
    chosen = _one_for_each_axis(analysis, [g for g in free if not is_layer(g)], reasons)
    return Candidates(tuple(g for g in free if is_layer(g) or g.atom in chosen), reasons)


def _refusal(group: Group, structures: Collection[str] | None, said_by: str) -> str:
    if group.frozen:
        return f"frozen: {group.frozen}"
    if is_layer(group):
        return ""
    if group.size < 2:
        return "has a single slot"
    if group.size <= group.least:
        return f"all of its {group.size} slots are needed: as many are chosen each time"
    if group.asked and (structures is None or group.kind not in structures):
        return f"{group.asked} (--structures {group.kind} to cut it)"
    if group.approximate and (structures is None or RESIDUAL not in structures):
        return f"approximate: {group.approximate} (--structures residual to cut it)"
    if (
        structures is not None
        and group.kind not in structures
        and not (group.approximate and RESIDUAL in structures)
    ):
        return f"{group.kind} were not asked for ({said_by})"
    return ""


def _one_for_each_axis(analysis: Analysis, free: Sequence[Group], reasons: dict[str, str]) -> set[int]:
    """Of the factors of one product only one is cut, so that a ratio means one thing for every axis."""
    beside: dict[int, set[int]] = {}
    order: dict[int, int] = {}
    for weight in analysis.weights.values():
        for factors in (f for dim in weight.dims for f in _blocks(dim)):
            for place, factor in enumerate(factors):
                others = {a for k, f in enumerate(factors) if k != place for a in f.atoms}
                for atom in factor.atoms:
                    order.setdefault(atom, place)
                    beside.setdefault(atom, set()).update(others)
    chosen: set[int] = set()
    for group in sorted(free, key=lambda g: (PREFERENCE.index(g.kind), order.get(g.atom, 0), g.atom)):
        rivals = beside.get(group.atom, set()) & chosen
        if rivals:
            rival = analysis.by_atom[min(rivals)]
            reasons[group.key] = f'the same axes are cut by {rival.kind} "{rival.key}"'
        else:
            chosen.add(group.atom)
    return chosen


def _blocks(dim: Dim) -> Iterator[tuple[Dim, ...]]:
    """The factors of every product in `dim`, whatever it is a part of; what is no product is one factor."""
    match dim:
        case Sum():
            for term in dim.terms:
                yield from _blocks(term)
        case Take():
            yield from _blocks(dim.base)
        case Product():
            yield dim.factors
            for factor in dim.factors:
                yield from _blocks(factor)
        case _:
            yield (dim,)


def _names(analysis: Analysis, group: Group) -> frozenset[str]:
    """Names a user may mean the group by: weights and the nodes that read them."""
    if is_layer(group):
        return names_of(analysis, group)
    weights = {m.weight for m in group.members}
    nodes = {n.name for n in analysis.facts.all_nodes if weights & set(n.inputs)}
    outputs = {o for n in analysis.facts.all_nodes if n.name in nodes for o in n.outputs}
    return frozenset({group.key} | weights | nodes | outputs)


def _matching(names: Iterable[str], patterns: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    names = list(names)
    for pattern in patterns:
        match = re.compile(fnmatch.translate(pattern)).match
        hits = {n for n in names if n == pattern or match(n)}
        if not hits:
            raise UsageError(
                f"no weight or node of a prunable dimension matches {pattern!r}: see `graphprune inspect`"
            )
        found |= hits
    return frozenset(found)
