"""Whether inputs were enough for what was learnt from them: rows, and the samples that rows come from.

Least squares on fewer rows than columns fits noise, and a score of more columns than rows compares accidents.
Rows of one sample, which the positions of an image and the tokens of a text are, are alike, so that many of
them may still say little: samples are counted too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ENOUGH = 32  # samples; more are always better, but below that results depend on which ones they are


@dataclass(frozen=True, slots=True)
class Looked:
    """One operator that something was learnt from.

    Attributes:
        node: its name.
        columns: that were fitted or scored.
        rows: that were looked at; 0 if nobody counted them.
    """

    node: str
    columns: int
    rows: int

    @property
    def words(self) -> str:
        """Both numbers, for a warning."""
        rows = f"{self.rows} rows for " if self.rows else ""
        return f'"{self.node}", {rows}{self.columns} columns'


def too_few(looked: Sequence[Looked], samples: int, done: Literal["repaired", "scored"]) -> list[str]:
    """What the user should know if the inputs were too few; empty if they were enough.

    Args:
        looked: the operators that something was learnt from.
        samples: that differ from each other.
        done: what was done to the operators.
    """
    source = f"{samples} sample{'' if samples == 1 else 's'}"
    columns = "keep columns" if done == "repaired" else "read columns"
    if short := [x for x in looked if 0 < x.rows < x.columns]:
        worst = min(short, key=lambda x: x.rows / x.columns)
        return [
            f"too few calibration inputs: {len(short)} operators were {done} on fewer rows than they "
            f"{columns} (worst: {worst.words}, from {source}); give more"
        ]
    if few := [x for x in looked if samples < min(ENOUGH, x.columns)]:
        worst = max(few, key=lambda x: x.columns)
        return [
            f"too few calibration inputs: {len(few)} operators were {done} on {source} only (worst: "
            f"{worst.words}), and rows of one sample are much the same; give at least {ENOUGH}"
        ]
    return []
