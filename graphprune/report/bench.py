"""A benchmark on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphprune.report.units import count, megabytes, milliseconds

_LAYERS_SHOWN = 8
_OPERATORS_SHOWN = 6


def show_bench(data: Mapping[str, Any], console: Console) -> None:
    """Print what `run_bench` found; models are called A, B, ... after the first table."""
    console.print(_models(data["models"]))
    console.print(_setting(data), highlight=False, soft_wrap=True)
    for point in data["points"]:
        console.print(_point(point))
    if data["profiles"]:
        console.print(_operators(data["profiles"]))
    for comparison in data["comparisons"]:
        _comparison(comparison, data["profiles"], console)


def _letter(place: int) -> str:
    """A, B, ... Z, AA, ...

    >>> _letter(0), _letter(27)
    ('A', 'BB')
    """
    return chr(ord("A") + place % 26) * (1 + place // 26)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold", no_wrap=place > 0)
    return table


def _models(models: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("model", "parameters", "MACs", "file", "load", "memory", "its part")
    for place, m in enumerate(models):
        load = "" if m["load_ms"] is None else milliseconds(m["load_ms"])
        memory = ["" if m[k] is None else f"{m[k] / 1e6:.0f} MB" for k in ("peak_bytes", "model_bytes")]
        name = f"[bold]{_letter(place)}[/]  {escape(Path(m['path']).name)}"
        table.add_row(name, count(m["params"]), count(m["macs"]), megabytes(m["size_bytes"]), load, *memory)
    return table


def _setting(data: Mapping[str, Any]) -> str:
    """What was measured, in one line."""
    shapes = data["points"][0]["shapes"] if data["points"] else {}
    inputs = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in shapes.items())
    threads = (
        "threads as the runtime likes"
        if data["threads"] is None
        else f"{data['threads']} thread{'s' * (data['threads'] > 1)}"
    )
    clock = "processor time" if data["clock"] == "cpu" else "wall time"
    return escape(f"on {data['provider']}, {threads}, {clock}; {inputs}")


def _point(point: Mapping[str, Any]) -> Table:
    table = _table(f"batch {point['batch']}", "p50", "p90", "per second", "speed-up", "by MACs", "reached")
    ratios = {r["model"]: r for r in point["ratios"]}
    for place, t in enumerate(point["latency"]):
        row = [_letter(place), milliseconds(t["p50_ms"]), milliseconds(t["p90_ms"]), f"{t['per_second']:.0f}"]
        if place in ratios:
            r = ratios[place]
            within = "few runs" if r["low"] is None else f"{r['low']:.2f} .. {r['high']:.2f}"
            row += [f"{r['speedup']:.2f} x ({within})"]
            row += [f"{r['macs_ratio']:.2f} x", f"{r['share']:.0%}"]
        table.add_row(*row)
    return table


def _operators(profiles: Sequence[Mapping[str, Any]]) -> Table:
    """The operators that take most time, side by side."""
    table = _table("time in", *(_letter(k) for k in range(len(profiles))))
    by_op = [{o["op"]: o["ms"] for o in p["operators"]} for p in profiles]
    order = sorted({op for found in by_op for op in found}, key=lambda op: -max(f.get(op, 0) for f in by_op))
    for op in order[:_OPERATORS_SHOWN]:
        table.add_row(escape(op), *(milliseconds(f.get(op, 0.0)) for f in by_op))
    rest = [sum(f.get(op, 0.0) for op in order[_OPERATORS_SHOWN:]) for f in by_op]
    table.add_row("others", *map(milliseconds, rest))
    between = [max(0.0, p["run_ms"] - p["kernels_ms"]) for p in profiles]
    table.add_row("between kernels", *map(milliseconds, between))
    return table


def _comparison(
    comparison: Mapping[str, Any], profiles: Sequence[Mapping[str, Any]], console: Console
) -> None:
    """Which layers got no faster, and what can be done."""
    told = sorted((r for r in comparison["layers"] if r["why"]), key=lambda r: -r["after_ms"])
    if told:
        console.print(f"[bold]not as fast as promised in {_letter(comparison['model'])}:[/]")
    for row in told[:_LAYERS_SHOWN]:
        macs = row["macs_before"] / max(1, row["macs_after"])
        console.print(
            f"  {escape(row['node'])}: {row['before_ms']:.3f} -> {row['after_ms']:.3f} ms at "
            f"{macs:.2f} x less multiply-adds; {escape(row['why'])}",
            soft_wrap=True,
            highlight=False,
        )
    if len(told) > _LAYERS_SHOWN:
        console.print(f"  and {len(told) - _LAYERS_SHOWN} more: --json has them all")
    rounding, whole = comparison["rounding"], profiles[comparison["model"]]["run_ms"]
    if rounding["saves_ms"] > 0.02 * whole:
        console.print(
            f"widths of {rounding['layers']} layers are off this machine's blocks, which costs about "
            f"{rounding['saves_ms']:.2f} of {whole:.2f} ms: prune with --round-to auto",
            highlight=False,
            soft_wrap=True,
        )
