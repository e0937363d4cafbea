"""A verification on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from graphprune.validate import Fidelity
    from graphprune.verification import ConsumerResult, Verification

_COLOURS = {"ok": "[green]ok[/]", "failed": "[red]failed[/]", "not installed": "[dim]not installed[/]"}


def show_verification(found: Verification, console: Console) -> None:
    """Print a verification."""
    _line(console, "contract", "; ".join(found.contract), "same inputs and outputs")
    _line(console, "checker", found.checker, "ONNX's checker accepts it, or says the same of the original")
    e = found.proof.equivalence
    if e.status == "not checked":
        console.print(
            f"[yellow]not checked[/] equivalence: {escape(e.note)}", soft_wrap=True, highlight=False
        )
    else:
        good = f"it is {found.proof.reference} (error {e.error:.1e}, allowed {e.tolerance:.1e})"
        _line(console, "equivalence", found.complaint if e.failed else "", good)
    if found.fidelity:
        console.print(_fidelity(found), highlight=False)
    if found.consumers:
        console.print(_consumers(found), highlight=False)
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _line(console: Console, what: str, complaint: str, good: str) -> None:
    text = (
        f"[red]failed[/]      {what}: {escape(complaint)}" if complaint else f"[green]ok[/]          {what}: "
    )
    console.print(text if complaint else text + escape(good), soft_wrap=True, highlight=False)


def _fidelity(found: Verification) -> Table:
    source = escape(found.judged_on)
    table = Table(
        box=None, pad_edge=False, header_style="bold", title=f"agreement on {found.samples} inputs ({source})"
    )
    table.title_justify, table.title_style = "left", "bold"
    for name in ("output", "relative error", "cosine", "SQNR", "same top-1", "in top-5", "KL"):
        table.add_column(name, justify="left" if name == "output" else "right")
    for f in found.fidelity:
        table.add_row(escape(f.output), f"{f.relative_error:.3g}", f"{f.cosine:.4f}", *_optional(f))
    return table


def _optional(f: Fidelity) -> tuple[str, ...]:
    return (
        "exact" if f.sqnr_db is None else f"{f.sqnr_db:.1f} dB",
        "-" if f.top1 is None else f"{f.top1:.1%}",
        "-" if f.top5 is None else f"{f.top5:.1%}",
        "-" if f.kl is None else f"{f.kl:.3g}",
    )


def _consumers(found: Verification) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("consumer", "version", "", "result"):
        table.add_column(name, overflow="fold")
    for c in found.consumers:
        table.add_row(c.name, c.version or "-", _COLOURS[c.status], escape(f"{c.what}: {_result(c)}"))
    return table


def _result(c: ConsumerResult) -> str:
    if c.status != "ok":
        return c.reason + (f" (with the original it {c.original})" if c.original == "fails too" else "")
    if c.allowed is not None:
        return f"differs by {c.error or 0:.1e} (allowed {c.allowed:.1e})"
    worst = min(c.fidelity, key=lambda f: f.cosine, default=None)
    if worst is None:
        return "runs"
    top1 = "" if worst.top1 is None else f", same top-1 in {worst.top1:.0%} of rows"
    return f"runs, cosine {worst.cosine:.4f} to the unquantised model{top1}"
