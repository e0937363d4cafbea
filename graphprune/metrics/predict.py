"""A model that can be called."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import UsageError
from graphprune.load import Source, load, save
from graphprune.runtime.session import Session, open_session

Array = NDArray[Any]


class Predict:
    """`predict(feeds)` gives the outputs by name.

    `feeds` has an array for each input by name; for a model with one input the array alone will do. Real
    numbers of another precision are converted.

    Attributes:
        path: of the model's file, for metrics that run it themselves.
        inputs, outputs: names.
    """

    def __init__(self, session: Session, path: Path) -> None:
        self._session = session
        self.path = path
        self.inputs = tuple(p.name for p in session.inputs)
        self.outputs = tuple(p.name for p in session.outputs)
        self._types = {p.name: p.dtype for p in session.inputs}

    def __call__(self, feeds: Mapping[str, Any] | Any) -> dict[str, Array]:
        """Run the model once.

        Raises:
            UsageError: an input is missing.
            ModelError: the model does not run on them.
        """
        given = feeds if isinstance(feeds, Mapping) else {self.inputs[0]: feeds}
        if missing := [n for n in self.inputs if n not in given]:
            raise UsageError(
                f"the metric gives no array for input {missing[0]!r}: the model wants "
                f"{', '.join(self.inputs)}"
            )
        return self._session.run({n: self._typed(n, np.asarray(given[n])) for n in self.inputs})

    def _typed(self, name: str, array: Array) -> Array:
        wanted = self._types[name]
        if array.dtype.kind == "f" and wanted in ("float16", "float32", "float64"):
            return array.astype(wanted, copy=False)
        return array


@contextlib.contextmanager
def opened(what: Any, source: Source | None = None) -> Iterator[Predict]:
    """A model, open for calls.

    Args:
        what: a path, or a model in memory of any form that `load` reads.
        source: what a model in memory was made of, where it was.

    Raises:
        ModelError: it cannot be read or opened.
    """
    with tempfile.TemporaryDirectory(prefix="graphprune-") as folder:
        found = load(what)
        path = found.path
        if path is None:
            path = Path(folder) / "model.onnx"
            save(found.model, path, source=source)
        with open_session(path) as session:
            yield Predict(session, path)
