"""What a run found out, as plain data and as one screen of text."""

from graphprune.report.data import make_report
from graphprune.report.screen import show_inspection, show_report

__all__ = ["make_report", "show_inspection", "show_report"]
