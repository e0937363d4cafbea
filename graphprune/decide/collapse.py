"""Layer collapse: a ranking that leaves next to nothing of some groups and much of the others.

The floor keeps a ranking from emptying a group, not from pressing it there, and a network is as good as cut
in two at a tenth as well. So a group counts as collapsed that keeps no more than the default floor, while
what the others keep says that the budget did not ask for that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphprune.analysis import Group
from graphprune.decide.parts import Parts
from graphprune.decide.rounding import rounded
from graphprune.passes import find_pass

_SMALLEST = 8  # slots; of fewer, a tenth says nothing
_TENTH = 0.1
_MOST = 0.2  # rounding up to a multiple may leave more of a group than can be called next to nothing
_FAR_MORE = 2.0


def collapses(
    groups: tuple[Group, ...],
    counts: Mapping[int, int],
    steps: Mapping[int, int],
    parts: Parts,
    min_keep: float,
) -> tuple[str, ...]:
    """What the user should know of groups that a ranking left next to nothing of.

    Args:
        groups: those whose counts were decided.
        counts: slots that each keeps, by atom.
        steps: the multiple that each keeps, by atom.
        parts: the passes that decided.
        min_keep: the floor that was asked for, as a share.
    """
    wide, measured = [g for g in groups if g.size >= _SMALLEST], _measured(parts)
    lost = [g for g in wide if _next_to_nothing(g, counts[g.atom], steps[g.atom], measured)]
    gone = {g.atom for g in lost}
    others = [g for g in wide if g.atom not in gone]
    if not lost or not others or parts.allocation == "uniform":
        return ()
    share = sum(counts[g.atom] for g in others) / sum(g.size for g in others)
    worst = min(lost, key=lambda g: counts[g.atom] / g.size)
    if share < _FAR_MORE * counts[worst.atom] / worst.size:
        return ()
    raw = parts.normaliser == "none" and parts.allocation.startswith("global")  # one ranking of raw scores
    remedy = "--normaliser mean" if raw else "--allocation uniform"
    return (
        f"layer collapse: {len(lost)} of {len(groups)} groups keep a tenth or so while the others keep "
        f'{share:.0%}, the worst is "{worst.key}" with {counts[worst.atom]} of {worst.size}; '
        f"try {remedy}, or a --min-keep above {min_keep:g}",
    )


def _measured(parts: Parts) -> bool:
    """Whether scores say what outputs lose: then a group at its floor was found to matter little."""
    return bool(find_pass("normaliser", parts.normaliser).unit)


def _next_to_nothing(group: Group, count: int, step: int, measured: bool) -> bool:
    if measured:
        return count < _TENTH * group.size
    floor = rounded(group, int(np.ceil(_TENTH * group.size)), step)
    return count <= min(floor, _MOST * group.size)
