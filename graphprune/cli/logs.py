"""Logging: the library speaks to the logger `graphprune` and prints nothing; `-v` shows what it says."""

from __future__ import annotations

from typing import Any

import click


def _set_up(_: click.Context, __: click.Parameter, count: int) -> None:
    """Show messages on standard error: `-v` the stages, `-vv` what each of them found."""
    if not count:
        return
    import logging

    logger = logging.getLogger("graphprune")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if count > 1 else logging.INFO)


def verbose_option(command: Any) -> Any:
    """The option `-v`."""
    return click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_up,
        help="Log what happens to standard error; -vv in detail.",
    )(command)
