"""The report as one page: everything it needs is inside, and nothing in it can load or run anything else."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from graphprune.errors import UsageError

_NEEDED = ("jinja2", "vl_convert")
_PACKAGE = 'pip install "graphprune[report]"'


def check_page_possible() -> None:
    """Find out before the work whether a page can be made.

    Raises:
        UsageError: what draws it is not installed.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the HTML report needs {' and '.join(missing)}, which is not installed: {_PACKAGE}")


def render(report: Mapping[str, Any], bench: Mapping[str, Any] | None = None) -> str:
    """The page of a report.

    Args:
        report: data of `make_report`, or read from a file that `--json` wrote.
        bench: data of `graphprune bench --json`, for the profile of the operators.

    Raises:
        UsageError: what draws it is not installed.
    """
    check_page_possible()
    import jinja2

    from graphprune.report.sections import sections_of

    # Names come from the model and are not to be trusted: everything is escaped but our own drawings.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("graphprune.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    read = environment.loader.get_source  # type: ignore[union-attr]
    style, script = read(environment, "page.css")[0], read(environment, "page.js")[0].strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        sections_of(report, bench),
        style=jinja2.filters.do_mark_safe(style),
        script=jinja2.filters.do_mark_safe(script),
        script_hash=digest,
    )
