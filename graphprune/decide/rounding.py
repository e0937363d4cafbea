"""Multiples: how many slots of a group a machine computes at a time, and counts that respect it."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.analysis import Group
from graphprune.decide.candidates import BLOCKS
from graphprune.decide.layers import is_layer
from graphprune.errors import UsageError

AUTO = "auto"
# The operator whose stairs decide for groups of a kind; heads, experts and such are blocks already.
_OPERATORS: Mapping[str, str] = {"channels": "Conv", "neurons": "MatMul", "hidden": "LSTM"}


def parse_rounding(value: int | str) -> int | str:
    """A multiple, or "auto".

    Raises:
        UsageError: neither.

    >>> parse_rounding("16")
    16
    """
    if value == AUTO:
        return AUTO
    try:
        number = int(value)
    except ValueError:
        raise UsageError(f"--round-to must be a number or auto, got {value!r}") from None
    if number < 1:
        raise UsageError(f"--round-to must be at least 1, got {number}")
    return number


def steps_of(
    groups: tuple[Group, ...], round_to: int | str, measured: Mapping[str, int] | None
) -> dict[int, int]:
    """The multiple that each group keeps, by atom id.

    Args:
        groups: to be cut.
        round_to: a number for all, or "auto".
        measured: by operator, the stairs of this machine's kernels; for "auto".
    """
    by_kind = {kind: (measured or {}).get(op, 1) for kind, op in _OPERATORS.items()}
    return {
        g.atom: 1
        if g.kind in BLOCKS or is_layer(g)
        else by_kind.get(g.kind, 1)
        if round_to == AUTO
        else int(round_to)
        for g in groups
    }


def rounded(group: Group, count: int, step: int) -> int:
    """`count` rounded up to a multiple, but to no more than there are."""
    return min(group.size, -(-count // step) * step)
