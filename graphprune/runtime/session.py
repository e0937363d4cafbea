"""A model opened in ONNX Runtime: named arrays in, named arrays out.

    with open_session(model) as session:
        logits = session.run({"pixels": image})["logits"]

The session owns whatever it wrote to disk and removes it when closed or garbage collected.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import onnx_ir as ir

from graphprune.errors import ModelError, RuntimeMissingError
from graphprune.runtime import storage
from graphprune.runtime.options import FATAL_ONLY, session_options
from graphprune.runtime.ort import onnxruntime, reason
from graphprune.runtime.providers import Provider, choose_providers
from graphprune.runtime.values import CARRIED, Array, flat, from_ort, to_ort

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "string": "str",
}


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a session.

    Attributes:
        name: as in the model.
        dtype: the numpy name of the element type (`float32`), or the runtime's own words for what is
            not a tensor (`seq(tensor(float))`).
        shape: a number for a fixed size, a name for a free one, None for one without a name.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def is_tensor(self) -> bool:
        """Whether this is one array, rather than a sequence, map or optional."""
        return "(" not in self.dtype


def open_session(
    model: ir.Model | str | Path,
    *,
    optimise: bool | str = True,
    threads: int | None = None,
    provider: str = "cpu",
    lean: bool = False,
    profile: Path | None = None,
    optimised: Path | None = None,
    arena: bool = True,
) -> "Session":
    """Open `model` for running.

    Args:
        model: a model in memory, which is written to a private folder, or the path of a file.
        optimise: let the runtime fuse and fold; False runs the graph node by node as it stands. A name is
            one of `options.LEVELS`.
        threads: threads of one operator; None leaves it to the runtime.
        provider: short names of execution providers by comma, the preferred one first: see `providers`.
        lean: spend time to save memory (no arena, no packed copies of weights, shapes read at once).
        profile: time every operator; see `Session.end_profile`.
        optimised: write the graph as the runtime has optimised it to this file.
        arena: keep the memory of one run for the next; not where many sessions are open.

    Raises:
        ModelError: the runtime refuses the model; its reason is in the message.
        RuntimeMissingError: ONNX Runtime, or the asked execution provider, is not installed.
        UsageError: no such execution provider exists.
    """
    wanted = choose_providers(provider)
    level = optimise if isinstance(optimise, str) else "all" if optimise else "none"
    options = session_options(level, threads, lean, profile, optimised, arena)
    if isinstance(model, ir.Model):
        return _open_in_memory(model, options, wanted, external=lean)
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    return Session(_create(path, options, wanted), None, wanted[0].device)


def _open_in_memory(
    model: ir.Model, options: Any, providers: Sequence[Provider], *, external: bool
) -> "Session":
    """Write `model` to a folder of its own and open it there."""
    for link in (True, False):
        folder = storage.private_folder()
        try:
            path = storage.write_model(model, folder, external=external, link=link)
            return Session(_create(path, options, providers), folder, providers[0].device)
        except ModelError as error:
            storage.remove_folder(folder)
            # Some versions take no weights from a file that has a second name: copy it, then.
            if not (link and "link" in str(error)):
                raise
        except BaseException:
            storage.remove_folder(folder)
            raise
    raise AssertionError("unreachable")


class Session:
    """An open model; see `open_session`."""

    def __init__(self, inner: Any, folder: Path | None, device: str = "") -> None:
        """Take over an open session, the folder made for it, if any, and the device it computes on."""
        self._inner = inner
        self._device = device
        self._finalizer = weakref.finalize(self, storage.remove_folder, folder) if folder else None
        self.inputs: tuple[Port, ...] = tuple(_port(item) for item in inner.get_inputs())
        self.outputs: tuple[Port, ...] = tuple(_port(item) for item in inner.get_outputs())
        self._carries = any(port.dtype in CARRIED for port in (*self.inputs, *self.outputs))

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use, the preferred one first."""
        return tuple(self._open().get_providers())

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run once and return the asked outputs (all of them by default) by name.

        Every entry is an array. The items of an output that is a sequence or a map come as
        `name[0]`, `name[1]`, … and `name[key]`; an empty optional is left out.

        Raises:
            ModelError: the run failed; the runtime's reason is in the message.
        """
        every = [port.name for port in self.outputs]
        # An empty list would mean all outputs to the runtime, so all are fetched and none is given back.
        names = list(outputs or every)
        inner = self._open()
        options = onnxruntime().RunOptions()
        options.log_severity_level = FATAL_ONLY
        try:
            if self._carries:
                given = {name: to_ort(array) for name, array in feeds.items()}
                found = [from_ort(item) for item in inner.run_with_ort_values(names, given, options)]
            else:
                found = inner.run(names, dict(feeds), options)
        except Exception as error:  # the runtime has no common base class for its errors
            raise ModelError(f"the model did not run in ONNX Runtime: {reason(error)}") from error
        if outputs is not None and not outputs:
            return {}
        return {
            key: array for name, item in zip(names, found, strict=True) for key, array in flat(name, item)
        }

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], None]:
        """A function that runs once on `feeds`, for measurements.

        On a device with memory of its own the inputs are there already and the outputs stay there, so that
        a run is timed without the transfers; the call returns when the device is done.

        Raises:
            ModelError: by the function, if the run failed.
        """
        inner = self._open()
        if not self._device:

            def plain() -> None:
                self.run(feeds)

            return plain
        binding = inner.io_binding()
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, to_ort(array, self._device))
        for port in self.outputs:
            binding.bind_output(port.name, self._device)

        def run() -> None:
            try:
                binding.synchronize_inputs()
                inner.run_with_iobinding(binding)
                binding.synchronize_outputs()
            except Exception as error:  # the runtime has no common base class for its errors
                raise ModelError(f"the model did not run in ONNX Runtime: {reason(error)}") from error

        return run

    def end_profile(self) -> Path:
        """Stop timing operators; returns the file with the times. Only for sessions with a `profile`."""
        return Path(self._open().end_profiling())

    def close(self) -> None:
        """Let go of the model and remove what was written for it; may be called again."""
        self._inner = None
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self._inner is None:
            raise RuntimeError("this session is closed")
        return self._inner


def _create(path: Path, options: Any, providers: Sequence[Provider]) -> Any:
    """Open `path` with these providers; each takes what those before it lack."""
    ort = onnxruntime()
    if any(p.device == "cuda" for p in providers) and hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")
    try:
        inner = ort.InferenceSession(str(path), options, providers=[p.full for p in providers])
    except Exception as error:  # the runtime has no common base class for its errors
        where = "the model" if storage.is_private(path) else path
        raise ModelError(f"ONNX Runtime refuses {where}: {reason(error)}") from error
    if missing := [p.full for p in providers if p.full not in inner.get_providers()]:
        # Without its libraries the runtime falls back to the CPU with no more than a log line.
        raise RuntimeMissingError(
            f"{missing[0]} could not start, so the model would run without it: check its driver and libraries"
        )
    return inner


def _port(item: Any) -> Port:
    """A runtime's node argument as a `Port`."""
    dtype = str(item.type)
    if dtype.startswith("tensor("):
        dtype = dtype[len("tensor(") : -1]
        dtype = _DTYPES.get(dtype, dtype)
    return Port(str(item.name), dtype, tuple(item.shape or ()))
