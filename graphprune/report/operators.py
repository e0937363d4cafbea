"""What graphprune knows of every operator: the facts behind `graphprune ops` and docs/operators.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from graphprune.errors import UsageError
from graphprune.rules import Rule
from graphprune.rules.barriers import BARRIERS, DOMAINS
from graphprune.rules.table import BY_DOMAIN

BODIES = ("If", "Loop", "Scan")
ZERO = {
    "keep": "zero stays zero",
    "any": "zero where every operand is zero",
    "all": "zero where one operand is zero",
    "first": "what the first input holds",
    "value": "what the values (third input) hold",
    "divide": "zero where the dividend is; undefined where the divisor is zero",
    "lift": "some other value",
}
_DEPENDS = "depends on its attributes"


def operators_as_data(names: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Operators as plain data, all or those of these names, in alphabetical order.

    Raises:
        UsageError: nothing is known of an operator of that name.
    """
    wanted = {name.lower() for name in names}
    rows = [row for row in _all() if not wanted or row["operator"].lower() in wanted]
    missing = wanted - {row["operator"].lower() for row in rows}
    if missing:
        raise UsageError(
            f"there is no rule for an operator called {sorted(missing)[0]!r}: it is a barrier, what reaches "
            "it is frozen; `graphprune ops` lists those that have one"
        )
    return sorted(rows, key=lambda row: (row["domain"], row["operator"]))


def _all() -> list[dict[str, Any]]:
    rows = [
        _row(op, domain, "rule", axes=how(rule).replace("`", ""), removed=zero_of(rule))
        for domain, families in BY_DOMAIN.items()
        for family in families
        for op, rule in family.RULES.items()
    ]
    rows += [_row(op, "", "followed", axes="its bodies are followed", removed=_DEPENDS) for op in BODIES]
    rows += [_row(op, domain, "barrier", reason=why) for (domain, op), why in BARRIERS.items()]
    return rows + [_row("*", domain, "barrier", reason=why) for domain, why in DOMAINS.items()]


def _row(
    op: str, domain: str, kind: str, *, axes: str = "", removed: str = "", reason: str = ""
) -> dict[str, Any]:
    return {
        "operator": op,
        "domain": domain or "ai.onnx",
        "kind": kind,
        "axes": axes,
        "removed_slots_hold": removed,
        "reason": reason,
    }


def how(rule: Rule) -> str:
    """How the axes relate: the line of notation, or what the function of the rule says of itself."""
    if isinstance(rule.relate, str):
        return rule.relate
    return (rule.relate.__doc__ or "").strip().partition("\n")[0] or _DEPENDS


def zero_of(rule: Rule) -> str:
    """What an output holds where all weights of a slot are zero."""
    return _DEPENDS if callable(rule.zero) else ZERO[rule.zero]


def show_operators(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table."""
    heads = (
        Column(n, overflow="fold") for n in ("operator", "domain", "kind", "how its axes relate, or why not")
    )
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(row["operator"], row["domain"], row["kind"], escape(row["axes"] or row["reason"]))
    console.print(table)
    counts = {kind: sum(row["kind"] == kind for row in rows) for kind in ("rule", "followed", "barrier")}
    console.print(
        ", ".join(f"{n} x {kind}" for kind, n in counts.items() if n)
        + "; any other operator is a barrier: what reaches it is frozen, the rest is still pruned",
        soft_wrap=True,
        highlight=False,
    )
