"""Global rankings within pools: only like competes with like.

Each pool loses the same share of its slots, worst first, as in `global`. Two groups are alike

    global-isomorphic  if they have the same kind and their members belong to the same operators at the
                       same axes (Fang et al., "Isomorphic Pruning for Vision Models", ECCV 2024)
    global-type        if they have the same kind: heads against heads, neurons against neurons
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from graphprune.analysis import Analysis, Group
from graphprune.passes import AllocationProblem
from graphprune_passes.allocations import global_


def isomorphic(problem: AllocationProblem, share: float) -> dict[int, int]:
    """One ranking for each structural signature."""
    readers: dict[str, list[str]] = {}
    for node in problem.scoring.analysis.facts.all_nodes:
        for place, name in enumerate(node.inputs):
            readers.setdefault(name, []).append(f"{node.op}:{place}")
    return _pooled(problem, share, lambda g: signature(problem.scoring.analysis, g, readers))


def by_kind(problem: AllocationProblem, share: float) -> dict[int, int]:
    """One ranking for each kind of group."""
    return _pooled(problem, share, lambda g: g.kind)


def signature(analysis: Analysis, group: Group, readers: dict[str, list[str]]) -> Hashable:
    """What a group is made of: its kind, and how often each operator reads a member along which axis."""
    return group.kind, tuple(sorted((*readers.get(m.weight, ()), str(m.axis)) for m in group.members))


def _pooled(problem: AllocationProblem, share: float, pool_of: Callable[[Group], Hashable]) -> dict[int, int]:
    pools: dict[Hashable, list[Group]] = {}
    for group in problem.groups:
        pools.setdefault(pool_of(group), []).append(group)
    found: dict[int, int] = {}
    for groups in pools.values():
        found |= global_.allocate(replace(problem, groups=tuple(groups)), share)
    return found
