"""The configuration file: TOML whose keys are the long options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphprune.errors import UsageError


def read_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path | None:
    """A TOML file whose keys are the long options; `[ratios]` gives groups their own ratio."""
    if value is None:
        return None
    import tomllib

    try:
        data = tomllib.loads(value.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {value}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the configuration {value} is not valid TOML: {error}") from None
    ctx.meta["config"] = value
    ctx.meta["ratios"] = data.pop("ratios", {})
    known = {p.name: p for p in ctx.command.params if isinstance(p, click.Option)}
    given = {k.replace("-", "_"): v for k, v in data.items()}
    for key in given:
        if key not in known:
            raise UsageError(
                f"the configuration {value} has an unknown key {key!r}: keys are the long options"
            )
    ctx.default_map = {**(ctx.default_map or {}), **given}
    return value


def ratios_by_name(found: Any) -> dict[str, float]:
    """The ratios of `[ratios]`, by pattern of names."""
    if not isinstance(found, dict) or not all(isinstance(v, int | float) for v in found.values()):
        raise UsageError(
            '[ratios] in the configuration must give numbers by name, for example "layer1.*" = 0.3'
        )
    return {str(k): float(v) for k, v in found.items()}
