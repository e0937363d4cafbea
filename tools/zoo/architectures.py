"""The table of the zoo: every architecture by name, the quick ones first."""

from __future__ import annotations

import zoo_own
import zoo_timm
import zoo_torchvision
import zoo_transformers
from case import Architecture


def architectures() -> dict[str, Architecture]:
    """Return every architecture by name, ordered by size class.

    Raises:
        ValueError: Two rows have the same name.
    """
    rows = [*zoo_own.rows(), *zoo_transformers.rows(), *zoo_torchvision.rows(), *zoo_timm.rows()]
    table = {row.name: row for row in sorted(rows, key=lambda row: row.size)}
    if len(table) != len(rows):
        raise ValueError("two architectures of the zoo have the same name")
    return table
