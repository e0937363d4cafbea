"""The list of recipes, and one recipe in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from graphprune.passes import all_recipes, find_pass, find_recipe


def recipes_as_data(name: str | None = None) -> list[dict[str, Any]]:
    """Recipes as plain data, all or the one of that name.

    Raises:
        UsageError: there is none of that name.
    """
    chosen = [find_recipe(name)] if name else [r for _, r in sorted(all_recipes().items())]
    return [
        {
            "name": r.name,
            "needs": r.looks_at,
            "follows": r.follows,
            "summary": r.summary,
            "paper": r.paper,
            "structures": list(r.structures) if r.structures else None,
            "parts": [{"kind": k, "name": n, "summary": find_pass(k, n).summary} for k, n in r.asked],
        }
        for r in chosen
    ]


def show_recipes(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print a table, or everything about a single recipe."""
    if len(rows) == 1:
        _show_one(rows[0], console)
        return
    heads = (Column(n, overflow="fold") for n in ("recipe", "needs", "paper?", "what it does"))
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(
            row["name"], row["needs"], "follows" if row["follows"] else "adapted", escape(row["summary"])
        )
    console.print(table)
    console.print(
        "`graphprune recipes NAME` shows the parts of one; any part can be replaced by its own option"
    )


def _show_one(row: dict[str, Any], console: Console) -> None:
    console.print(f"[bold]{escape(row['name'])}[/]: {escape(row['summary'])}", soft_wrap=True)
    word = "follows" if row["follows"] else "adapted from"
    console.print(f"{word} {escape(row['paper'])}; needs {row['needs']}", soft_wrap=True, highlight=False)
    if row["structures"]:
        console.print(f"cuts {', '.join(row['structures'])} only", highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    for part in row["parts"]:
        table.add_row(part["kind"], part["name"], escape(part["summary"]))
    console.print(table)
