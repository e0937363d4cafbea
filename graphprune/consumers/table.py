"""The programs by name, and what each needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from graphprune.consumers import tools
from graphprune.errors import UsageError


@dataclass(frozen=True, slots=True)
class Consumer:
    """One program.

    Attributes:
        name: as users say it.
        what: what is tried with it, in a few words.
        run: the trial itself, see `graphprune.consumers.tools`.
        needs: the modules that must be installed.
        package: the package whose version is reported.
        exact: its outputs should be those of the model; what quantises need not give the same.
    """

    name: str
    what: str
    run: Callable[..., list[tools.Arrays]]
    needs: tuple[str, ...]
    package: str
    exact: bool = True

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules it needs that are not installed."""
        return tuple(m for m in self.needs if importlib.util.find_spec(m) is None)

    @property
    def version(self) -> str:
        """The installed version, or ""."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return ""


_ROWS = (
    Consumer("openvino", "compiles and runs on the CPU", tools.openvino, ("openvino",), "openvino"),
    Consumer("ort-optimised", "the runtime's optimised file", tools.optimised, (), "onnxruntime"),
    Consumer("ort-dynamic", "quantises, dynamically", tools.dynamic, (), "onnxruntime", exact=False),
    Consumer("ort-static", "quantises, on inputs", tools.static, (), "onnxruntime", exact=False),
    Consumer("onnxslim", "simplifies", tools.onnxslim, ("onnxslim",), "onnxslim"),
    Consumer("onnxsim", "simplifies", tools.onnxsim, ("onnxsim",), "onnxsim"),
    Consumer("onnx2torch", "to PyTorch and back", tools.onnx2torch, ("onnx2torch", "torch"), "onnx2torch"),
)
CONSUMERS: Mapping[str, Consumer] = {row.name: row for row in _ROWS}


def choose_consumers(names: str | Sequence[str]) -> tuple[Consumer, ...]:
    """The programs of a list such as `all`, `none` or `openvino,onnxslim`.

    Raises:
        UsageError: an unknown name.

    >>> [c.name for c in choose_consumers("onnxsim,openvino")]
    ['onnxsim', 'openvino']
    """
    asked = [n.strip() for n in (names.split(",") if isinstance(names, str) else names) if n.strip()]
    if asked == ["all"]:
        return _ROWS
    if asked == ["none"]:
        return ()
    if unknown := [n for n in asked if n not in CONSUMERS]:
        raise UsageError(
            f"unknown consumer {unknown[0]!r}: choose from {', '.join(CONSUMERS)}, or say all or none"
        )
    return tuple(CONSUMERS[n] for n in asked)
