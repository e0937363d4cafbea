"""One screen of text: before and after, what was cut, what was not and why, and whether it is proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from graphprune.analysis import Analysis
from graphprune.report.advice import advice, judged_at_random
from graphprune.report.data import not_cut, reached, weights_in
from graphprune.report.units import count, factor, megabytes, milliseconds

_REASONS_SHOWN = 6
_ADVICE_SHOWN = 2
_LAYERS_SHOWN = 8


def show_report(report: Mapping[str, Any], console: Console) -> None:
    """Print a report."""
    console.print(_figures(report))
    console.print(_cut(report), soft_wrap=True, highlight=False)
    _method(report["method"], console)
    _curve(report, console)
    _not_cut(report["not_cut"], console)
    _proof(report, console)
    for warning in report["warnings"]:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)
    _next(report, console)
    if report["output"]:
        console.print(f"written to [bold]{escape(report['output'])}[/]", soft_wrap=True)
    elif report["dry_run"]:
        missed = "" if report["fidelity"] else "; agreement with the original was not measured"
        console.print(f"dry run: nothing was written{missed}")


def _figures(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("", "left"), ("before", "right"), ("after", "right"), ("", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    before, after = report["before"], report["after"]
    rows = (
        ("parameters", "params", count),
        ("multiply-adds", "macs", count),
        ("file size", "size_bytes", megabytes),
        (_latency_label(report["provider"]), "latency_ms", milliseconds),
    )
    for label, key, show in rows:
        old, new = before[key], after[key]
        if old is not None and new is not None:
            table.add_row(label, show(old), show(new), factor(old, new))
    return table


def _latency_label(provider: str) -> str:
    return "CPU latency" if provider == "cpu" else f"latency ({escape(provider)})"


def _cut(report: Mapping[str, Any]) -> str:
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for group in report["groups"]:
        kinds.setdefault(group["kind"], []).append(group)
    layers = [escape(r["key"]) for r in kinds.pop("layers", []) if not r["after"]]
    parts = [
        f"{len(rows)} x {kind} ({sum(r['before'] for r in rows)} -> {sum(r['after'] for r in rows)})"
        for kind, rows in kinds.items()
    ]
    cut = f"[bold]cut:[/] {', '.join(parts) or 'nothing'}"
    if not layers:
        return cut
    shown = ", ".join(layers[:_LAYERS_SHOWN]) + (", …" if len(layers) > _LAYERS_SHOWN else "")
    removed = f"[bold]layers removed:[/] {len(layers)} ({shown})"
    return f"{cut}\n{removed}" if parts else removed


def _method(method: Mapping[str, Any], console: Console) -> None:
    """How it was decided and repaired, in one line."""
    if not method["recipe"]:
        return
    parts = ", ".join(v for v in method["parts"].values() if v != "none")
    text = f"[bold]recipe:[/] {method['recipe']} ({parts})"
    if method["calibration"]:
        data = method["calibration"]
        text += f" on {data['samples']} inputs ({escape(data['source'])})"
    console.print(text, soft_wrap=True, highlight=False)
    if method["rounding"]:
        steps = ", ".join(f"{kind} to {step}" for kind, step in method["rounding"].items())
        console.print(f"[bold]rounded:[/] {steps}", highlight=False)
    fitted = [r for r in method["repaired"] if not r["note"]]
    if fitted:
        before = sum(r["before"] for r in fitted) / len(fitted)
        after = sum(r["after"] for r in fitted) / len(fitted)
        console.print(
            f"[bold]repaired:[/] {len(fitted)} operators; the share of their output that is lost fell from "
            f"{before:.1%} to {after:.1%} on average",
            soft_wrap=True,
            highlight=False,
        )


def _curve(report: Mapping[str, Any], console: Console) -> None:
    """What a search has tried, smallest first."""
    quality = report["quality"]
    if quality is None:
        return
    judged = f" on {quality['judged_on']}" if quality["judged_on"] else ""
    console.print(
        f"[bold]quality:[/] {escape(quality['measure'])} {quality['pruned']:.4f} (original "
        f"{quality['original']:.4f}){escape(judged)}; asked for {escape(quality['asked'])}",
        soft_wrap=True,
        highlight=False,
    )
    for point in report["curve"]:
        mark = "[green]good enough[/]" if point["good"] else "[red]not good enough[/]"
        console.print(
            f"  {quality['minimised']}={point['share']:.3f}  {point['quality']:.4f}  {mark}", highlight=False
        )


def _not_cut(rows: list[Mapping[str, Any]], console: Console) -> None:
    if not rows:
        return
    merged: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        merged.setdefault(row["reason"], []).append(row)
    console.print(f"[bold]not cut:[/] {len(rows)} {'dimension' if len(rows) == 1 else 'dimensions'}")
    for reason, those in list(merged.items())[:_REASONS_SHOWN]:
        names = those[0]["key"] + (f" and {len(those) - 1} more" if len(those) > 1 else "")
        console.print(f"  {escape(names)}: {escape(reason)}", soft_wrap=True, highlight=False)
    if len(merged) > _REASONS_SHOWN:
        console.print(f"  and {len(merged) - _REASONS_SHOWN} more reasons: see `graphprune inspect`")


def _proof(report: Mapping[str, Any], console: Console) -> None:
    proof = report["equivalence"]
    if proof["status"] == "equal":
        console.print(
            "[green]verified:[/] equals the masked original "
            f"(error {proof['error']:.1e}, allowed {proof['tolerance']:.1e})",
            highlight=False,
        )
    for row in report["fidelity"]:
        top1 = "" if row["top1"] is None else f", same top-1 in {row['top1']:.0%} of rows"
        if row.get("drop") and not judged_at_random(report):
            top1 += f"; should cost {100 * row['drop']:.2g} points of accuracy"
        console.print(
            f"agreement with the original on {escape(report['judged_on'])}, {escape(row['output'])}: "
            f"cosine {row['cosine']:.3f}, relative error {row['relative_error']:.2f}{top1}",
            soft_wrap=True,
            highlight=False,
        )


def _next(report: Mapping[str, Any], console: Console) -> None:
    """What to do now, in a line or two; the page has all of it."""
    found = advice(report)
    for said in found[: min(_ADVICE_SHOWN, max(1, len(found) - 1))]:
        options = f" ({said.options})" if said.options else ""
        text = escape(said.do.replace("`", "") + options)
        console.print(f"[bold]next:[/] {text}", soft_wrap=True, highlight=False)


def show_inspection(
    analysis: Analysis, reasons: Mapping[str, str], console: Console, *, limit: int | None
) -> None:
    """Print the groups of a model: what can be cut, then what cannot and why."""
    share = reached(analysis)
    console.print(
        f"{sum(1 for _ in analysis.facts.all_nodes)} nodes, {len(analysis.groups)} dimensions; "
        f"{share['exact']:.1%} of the weights can be cut exactly, {share['any']:.1%} at all",
        highlight=False,
    )
    heads = (Column(name, overflow="fold") for name in ("dimension", "kind", "size", "members", "status"))
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    rows = [g for g in analysis.groups if g.key not in reasons]
    blocked = not_cut(analysis, reasons)
    for group in rows[:limit]:
        members = ", ".join(f"{m.weight}[{m.axis}]" for m in group.members[:3])
        more = f" and {len(group.members) - 3} more" if len(group.members) > 3 else ""
        table.add_row(
            escape(group.key), group.kind, str(group.size), escape(members + more), "[green]prunable[/]"
        )
    for row in blocked[: None if limit is None else max(0, limit - len(rows))]:
        table.add_row(escape(row["key"]), row["kind"], str(row["size"]), "", escape(row["reason"]))
    console.print(table)
    hidden = len(rows) + len(blocked) - len(table.rows)
    if hidden:
        console.print(f"{hidden} more: --all shows them")
    _layers(analysis, console, limit)


def _layers(analysis: Analysis, console: Console, limit: int | None) -> None:
    """Print the branches that could go as a whole, and why others could not."""
    if not analysis.layers:
        return
    free = [x for x in analysis.layers if not x.frozen]
    console.print(
        f"{len(free)} of {len(analysis.layers)} layers can be removed whole (--structures layers)",
        highlight=False,
    )
    table = Table(*(Column(n, overflow="fold") for n in ("layer", "nodes", "weights", "status")), box=None)
    table.pad_edge, table.header_style = False, "bold"
    for layer in analysis.layers[:limit]:
        dead, weights = analysis.dead(frozenset({layer.atom})), weights_in(analysis, layer.atom)
        elements = sum(analysis.weights[w].count for w in weights)
        status = f"frozen: {escape(layer.frozen)}" if layer.frozen else "[green]removable[/]"
        table.add_row(escape(layer.key), str(len(dead) - len(weights)), count(elements), status)
    console.print(table)
