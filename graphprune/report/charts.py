"""What the charts of the page show, as Vega-Lite specifications for a given width in pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.report.drawing import WIDE, Spec

Rows = Sequence[Mapping[str, Any]]
_BEFORE: Spec = {"type": "bar", "fill": "var(--ghost)", "stroke": "var(--line)", "strokeWidth": 1}
_AFTER: Spec = {"type": "bar", "fill": "var(--accent)"}
_WORDS = {"macs": "multiply-adds", "params": "parameters", "size": "file size"}
_UNEVEN = 12  # times the median width; from there on the widths are drawn on a root scale
_ROOM = 7  # pixels that a layer needs for an outline
_NAMED = 8  # curves; more of them are told apart by their titles only


def uneven(layers: Rows) -> bool:
    """Whether a few layers are so wide that the others would vanish beside them."""
    widths = sorted(r["before"]["width"] for r in layers if r["before"]["width"])
    return bool(widths) and widths[-1] > _UNEVEN * widths[len(widths) // 2]


def network(layers: Rows, width: int) -> Spec:
    """Widths in graph order as a silhouette, the multiply-adds below: before in outline, after filled."""
    numbers = [row["number"] for row in layers]
    crowded = len(numbers) > width / _ROOM  # outlines would hide what they surround
    outline: Spec = {"type": "bar", "fill": "var(--whole)", "opacity": 0.45} if crowded else _BEFORE
    step = max(1, -(-len(numbers) * 36 // width))
    x: Spec = {
        "field": "at",
        "type": "ordinal",
        "scale": {"domain": numbers, "paddingInner": 0 if crowded else 0.25},
        "axis": {
            "values": numbers[::step],
            "labelAngle": 0,
            "ticks": False,
            "title": "layer, in graph order",
        },
    }
    widths = [_width(row) for row in layers if row["before"]["width"]]
    axis = {"labelExpr": "datum.value > 0 ? format(2 * datum.value, '~s') : ''", "tickCount": 4}
    y: Spec = {"type": "quantitative", "title": "width", "axis": axis}
    if uneven(layers):
        y["scale"] = {"type": "sqrt"}
    colour: Spec = {
        "field": "cut",
        "type": "nominal",
        "scale": {"domain": [True, False], "range": ["var(--accent)", "var(--whole)"]},
        "legend": None,
    }
    silhouette = [
        _layer(outline, widths, x | {"axis": None}, y | {"field": "high"}, y2={"field": "low"}),
        _layer(
            {"type": "bar"},
            widths,
            x | {"axis": None},
            y | {"field": "top"},
            y2={"field": "bottom"},
            fill=colour,
        ),
    ]
    macs: Spec = {
        "type": "quantitative",
        "title": "multiply-adds",
        "axis": {"format": "~s", "tickCount": 3},
    }
    work = [_work(row) for row in layers]
    bars = [
        _layer(outline, work, x, macs | {"field": "before"}),
        _layer(_AFTER, work, x, macs | {"field": "after"}),
    ]
    return {
        "vconcat": [
            {"width": width, "height": 160 if width == WIDE else 120, "layer": silhouette},
            {"width": width, "height": 90, "layer": bars},
        ],
        "spacing": 16,
    }


def _width(row: Mapping[str, Any]) -> dict[str, Any]:
    before, after = row["before"]["width"], row["after"]["width"]
    return {
        "at": row["number"],
        "high": before / 2,
        "low": -before / 2,
        "top": after / 2,
        "bottom": -after / 2,
        "cut": after < before,
        "what": f"{row['number']}. {row['name']} ({row['op']}): width {before:,} → {after:,}",
    }


def _work(row: Mapping[str, Any]) -> dict[str, Any]:
    before, after = row["before"]["macs"], row["after"]["macs"]
    what = f"{row['number']}. {row['name']} ({row['op']}): {before:,} → {after:,} multiply-adds"
    return {"at": row["number"], "before": before, "after": after, "what": what}


def _layer(mark: Spec, rows: Rows, x: Spec, y: Spec, **more: Spec) -> Spec:
    encoding = {"x": x, "y": y, "description": {"field": "what"}, **more}
    return {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}


def loss_curves(groups: Rows, width: int) -> Spec:
    """Share of its score that each group loses as its slots go; a point where it was cut."""
    points, chosen = [], []
    for group in groups:
        found = group["sensitivity"]
        gone = 1 - group["after"] / group["before"]
        what = (
            f"{group['key']}: {gone:.0%} of its slots were cut, which held {found['lost']:.1%} of its score"
        )
        points += [{"group": group["key"], "x": x, "y": y, "what": what} for x, y in found["curve"]]
        chosen.append({"group": group["key"], "x": gone, "y": found["lost"], "what": what})
    few = len(groups) <= _NAMED
    colour: Spec = {
        "field": "group",
        "type": "nominal",
        "sort": None,
        "scale": {"range": [f"var(--c{n})" for n in range(1, _NAMED + 1)] if few else ["var(--accent)"]},
        "legend": {"columns": 2 if width == WIDE else 1, "symbolType": "stroke", "columnPadding": 24}
        if few
        else None,
    }
    share = {"axis": {"format": "%", "tickCount": 5}, "scale": {"domain": [0, 1]}, "type": "quantitative"}
    x, y = (
        {"field": "x", "title": "slots removed", **share},
        {"field": "y", "title": "share of the score lost", **share},
    )
    line = {"type": "line", "strokeWidth": 2, "opacity": 1 if few else 0.45}
    dot = {"type": "point", "filled": True, "size": 90, "opacity": 1}
    return {
        "width": width,
        "height": 260,
        "layer": [
            _layer(line, points, x, y, color=colour),
            _layer(dot, chosen, x, y, color=colour),
        ],
    }


def trade_off(curve: Rows, measure: str, quality: str, width: int) -> Spec:
    """Quality against the share that is left; the point taken is large, those not good enough hollow."""
    measure = _WORDS.get(measure, measure)
    rows = [
        {**p, "what": f"{quality} {p['quality']:.4g} with {p['share']:.1%} of {measure} left"} for p in curve
    ]
    x: Spec = {
        "field": "share",
        "type": "quantitative",
        "title": f"{measure} left",
        "axis": {"format": "%", "tickCount": 5},
        "scale": {"zero": False},
    }
    y: Spec = {
        "field": "quality",
        "type": "quantitative",
        "title": quality,
        "axis": {"tickCount": 5},
        "scale": {"zero": False},
    }
    line = {"type": "line", "stroke": "var(--accent)", "strokeWidth": 2}
    dot = {"type": "point", "stroke": "var(--accent)", "strokeWidth": 2, "size": 70, "opacity": 1}
    good = {**dot, "filled": True, "fill": "var(--accent)"}
    taken = {**good, "size": 260}
    layers = [
        _layer(line, rows, x, y),
        _layer({**dot, "fill": "var(--paper)"}, [r for r in rows if not r["good"]], x, y),
        _layer(good, [r for r in rows if r["good"]], x, y),
        _layer(taken, [r for r in rows if r["chosen"]], x, y),
    ]
    return {"width": width, "height": 240, "layer": layers}


def bars(rows: Rows, title: str, width: int) -> Spec:
    """One bar for each row of `name`, `value` (in the unit the title names), and `role`."""
    colour: Spec = {
        "field": "role",
        "type": "nominal",
        "scale": {"domain": ["before", "after"], "range": ["var(--whole)", "var(--accent)"]},
        "legend": None,
    }
    y: Spec = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"ticks": False, "domain": False},
    }
    most = max(row["value"] for row in rows)
    x: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": title,
        "axis": {"tickCount": 5},
        "scale": {"domainMax": 1.15 * most},  # room for the number behind the longest bar
    }
    values = [{**row, "what": f"{row['name']}: {row['value']:.3g} {title}"} for row in rows]
    text = {"type": "text", "align": "left", "dx": 5, "fill": "var(--ink)", "fontSize": 12}
    return {
        "width": width,
        "height": {"step": 30},
        "layer": [
            _layer({"type": "bar", "height": 18}, values, x, y, fill=colour),
            _layer(text, values, x, y, text={"field": "value", "type": "quantitative", "format": ".3~g"}),
        ],
    }


def profile(rows: Rows, width: int) -> Spec:
    """Time of each kind of operator in milliseconds: before in outline, after filled."""
    values = [{**row, "what": f"{row['name']}: {row['before']:.3g} → {row['after']:.3g} ms"} for row in rows]
    y: Spec = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"ticks": False, "domain": False},
    }
    x: Spec = {"type": "quantitative", "title": "ms", "axis": {"tickCount": 5}}
    return {
        "width": width,
        "height": {"step": 26},
        "layer": [
            _layer({**_BEFORE, "height": 18}, values, x | {"field": "before"}, y),
            _layer({**_AFTER, "height": 18}, values, x | {"field": "after"}, y),
        ],
    }
