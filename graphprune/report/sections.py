"""What the page shows, section by section, taken from the data of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

from graphprune.decide import parse_targets
from graphprune.errors import UsageError
from graphprune.report import charts
from graphprune.report.advice import advice, agreement, agrees
from graphprune.report.drawing import Chart, draw
from graphprune.report.timing import latencies, operators, speedups, stubborn
from graphprune.report.units import count, megabytes, milliseconds

Report = Mapping[str, Any]
_MEASURES = (
    ("multiply-adds", "macs", count),
    ("parameters", "params", count),
    ("file size", "size_bytes", megabytes),
    ("latency", "latency_ms", milliseconds),
)
_SHOWN_ELSEWHERE = ("targets", "recipe")
_OF_TARGET = {
    "macs": ("macs", count),
    "params": ("params", count),
    "size": ("size_bytes", megabytes),
    "latency": ("latency_ms", milliseconds),
}


def sections_of(report: Report, bench: Report | None) -> dict[str, Any]:
    """Values for the template; charts are drawn here."""
    layers = [{**row, "number": n} for n, row in enumerate(report.get("layers") or (), start=1)]
    curves = [g for g in report["groups"] if g.get("sensitivity")]
    times, curve = latencies(report, bench), _curve(report)
    quality = report.get("quality")
    worst = agreement(report)
    return {
        "report": report,
        "title": PurePath(report["model"]).name if report.get("model") else "model in memory",
        "figures": [f for f in (_figure(report, *m) for m in _MEASURES) if f],
        "reached": [*_targets(report), *_asked(report)],
        "advice": advice(report),
        "worst": worst,
        "agrees": worst is not None and agrees(worst),
        "layers": layers,
        "uneven": charts.uneven(layers),
        "network": _drawn(charts.network, layers),
        "groups": [_group(g) for g in report["groups"]],
        "kinds": _kinds(report["groups"]),
        "not_cut": _by_reason(report["not_cut"]),
        "losses": _drawn(charts.loss_curves, curves),
        "measured_losses": report["method"]["parts"].get("normaliser") == "sensitivity",
        "quality": quality,
        "trade_off": draw(partial(_trade_off, report, curve)) if len(curve) > 1 else None,
        "latency": draw(partial(_bars, times)) if times else None,
        "speedups": speedups(bench),
        "profile": _drawn(charts.profile, operators(bench)),
        "stubborn": stubborn(bench),
        "repaired": [r for r in report["method"]["repaired"] if not r["note"]],
        "count": count,
    }


def _drawn(spec: Any, rows: Sequence[Mapping[str, Any]]) -> Chart | None:
    return draw(partial(spec, rows)) if rows else None


def _bars(rows: Sequence[Mapping[str, Any]], width: int) -> dict[str, Any]:
    return charts.bars(rows, "ms", width)


def _curve(report: Report) -> list[dict[str, Any]]:
    """Points of a search: the share that is left, quality, whether it was good enough and taken."""
    rows = [{**p, "share": p["share"] if "share" in p else p["macs"]} for p in report.get("curve") or ()]
    good = [p["share"] for p in rows if p.get("good")]
    return [{**p, "good": p.get("good", True), "chosen": p["share"] == min(good, default=None)} for p in rows]


def _trade_off(report: Report, curve: Sequence[Mapping[str, Any]], width: int) -> dict[str, Any]:
    quality = report.get("quality") or {}
    return charts.trade_off(curve, quality.get("minimised", "macs"), quality.get("measure", "quality"), width)


def _figure(report: Report, label: str, key: str, show: Any) -> dict[str, Any] | None:
    before, after = report["before"].get(key), report["after"].get(key)
    if before is None or after is None or not after:
        return None
    times = before / after
    return {
        "label": label,
        "before": show(before),
        "after": show(after),
        "left": after / before,
        "times": times,
        "word": ("faster" if key == "latency_ms" else "less")
        if times >= 1
        else "slower"
        if key == "latency_ms"
        else "more",
    }


def _targets(report: Report) -> list[tuple[str, str]]:
    """What was asked for and what was reached, in words."""
    try:
        targets = parse_targets(report["asked"].get("targets", ()))
    except UsageError:  # a report of another version
        return [(f"target {text}", "") for text in report["asked"]["targets"]]
    rows = []
    for target in targets:
        key, show = _OF_TARGET.get(target.measure, (target.measure, count))
        before, after = report["before"].get(key), report["after"].get(key)
        if not before or after is None:
            rows.append((f"target {target.text}", "not measured"))
            continue
        kept = "kept" if after <= target.allowed(before) else "missed"
        rows.append(
            (
                f"target {target.text}",
                f"{kept}: {show(after)} of at most {show(target.allowed(before))} ({after / before:.1%})",
            )
        )
    return rows


def _asked(report: Report) -> list[tuple[str, str]]:
    """The other options, as they were taken."""
    texts = {
        k: _text(v)
        for k, v in report["asked"].items()
        if k not in _SHOWN_ELSEWHERE and v not in (None, "", [], {})
    }
    return [(k.replace("_", "-"), v) for k, v in texts.items()]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    found = group.get("sensitivity")
    loss = found["total"] * found["lost"] if found else None
    return {**group, "kept": group["after"] / group["before"], "lost": found and found["lost"], "loss": loss}


def _kinds(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Dimensions of each kind together."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        row = found.setdefault(group["kind"], {"kind": group["kind"], "groups": 0, "before": 0, "after": 0})
        row["groups"] += 1
        row["before"] += group["before"]
        row["after"] += group["after"]
    return list(found.values())


def _by_reason(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Dimensions that were left alone for the same reason together, largest first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["reason"], []).append(row)
    return [_reason(reason, those) for reason, those in found.items()]


def _reason(reason: str, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    first, _, rest = reason.partition(": ")
    known = first in ("frozen", "approximate")
    return {"state": first if known else "left alone", "why": rest if known else reason, "rows": rows}
