"""What a run found out: as plain data, as one screen of text, as one page."""

from graphprune.report.data import make_report
from graphprune.report.html import render
from graphprune.report.screen import show_inspection, show_report

__all__ = ["make_report", "render", "show_inspection", "show_report"]
