"""Models side by side on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from graphprune.metrics import Evaluation


def show_evaluation(found: Evaluation, console: Console) -> None:
    """Print an evaluation: a row for each model, a column for each number and its difference."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    names = list(dict.fromkeys(k for values in found.values for k in values))
    several = len(found.models) > 1
    for name in names:
        table.add_column(escape(name), justify="right")
        if several:
            table.add_column("difference", justify="right")
    for place, (model, values) in enumerate(zip(found.models, found.values, strict=True)):
        row = [escape(model)]
        changed = found.differences(place)
        for name in names:
            row.append(f"{values[name]:.4f}" if name in values else "-")
            if several:
                row.append(f"{changed[name]:+.4f}" if place and name in changed else "")
        table.add_row(*row)
    console.print(table, highlight=False)
    console.print(f"{'lower' if found.metric.lower_is_better else 'higher'} is better")
