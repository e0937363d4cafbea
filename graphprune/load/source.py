"""Source: a model as it came in, and what is known of where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx_ir as ir

Form = Literal["path", "proto", "ir", "graphsurgeon"]


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded model.

    Attributes:
        model: Our own copy; its weights may be the memory or the mapped files of the object that was given.
        path: The file it was read from, as given; None when it was not read from a file.
        size_bytes: Size of the file and of its external data, or of the serialised model.
        form: What was given.
        external: Whether any tensor has its data in another file.
        notes: What could not be carried over, one sentence each.
    """

    model: ir.Model
    path: Path | None
    size_bytes: int
    form: Form
    external: bool
    notes: tuple[str, ...] = ()
