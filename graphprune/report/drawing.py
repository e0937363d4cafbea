"""Draws Vega-Lite specifications as SVG when the page is made: nothing is left to load or to run.

Colours are variables of the page's style sheet, so that a chart follows the colour scheme of its reader. Each
chart is drawn twice, for a wide and for a narrow screen, so that its letters stay readable on both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

WIDE, NARROW = 860, 300
_SVG = "http://www.w3.org/2000/svg"
_LANGUAGE = "5.21"  # of Vega-Lite
_SET = 13.5  # pixels that letters are given; the page shows them at 12, as the reader's font may be wider
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "titleFontWeight": "normal",
        "labelFontSize": _SET,
        "titleFontSize": _SET,
        "labelLimit": 260,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--soft)",
        "labelFontSize": _SET,
        "labelLimit": 260,
        "orient": "top",
        "title": None,
    },
}
Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG for wide and for narrow screens."""

    wide: str
    narrow: str


def draw(spec_for: Callable[[int], Spec]) -> Chart:
    """Draw what `spec_for` describes at each width in pixels."""
    return Chart(_svg(spec_for(WIDE)), _svg(spec_for(NARROW)))


def _svg(spec: Spec) -> str:
    import vl_convert

    svg = vl_convert.vegalite_to_svg(
        {"config": _CONFIG, "autosize": {"type": "fit-x", "contains": "padding"}, **spec},
        vl_version=_LANGUAGE,
        allowed_base_urls=[],
    )
    return _with_titles(svg)


def _with_titles(svg: str) -> str:
    """Descriptions of marks as titles, which browsers show under the pointer; the page sets the size."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        if element.get("aria-roledescription") in ("bar", "point", "line mark", "rule mark"):
            ElementTree.SubElement(element, f"{{{_SVG}}}title").text = element.attrib.pop("aria-label", "")
            del element.attrib["aria-roledescription"]
            element.attrib.pop("role", None)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    return ElementTree.tostring(root, encoding="unicode")
