"""A model opened in ONNX Runtime: named arrays in, named arrays out.

    with open_session(model) as session:
        logits = session.run({"pixels": image})["logits"]

The session owns whatever it wrote to disk and removes it when closed or garbage collected.
"""

import ctypes
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir

from graphprune.errors import ModelError, RuntimeMissingError, UsageError
from graphprune.runtime import storage
from graphprune.runtime.ort import onnxruntime, reason

Array = np.ndarray[Any, np.dtype[Any]]

_FATAL_ONLY = 4

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "string": "str",
}

# Element types that ONNX Runtime computes with but will not hand to numpy: the numpy type, and the
# plain integer that carries its bits across.
_CARRIED: Mapping[str, tuple[Any, Any, int]] = {
    "bfloat16": (ml_dtypes.bfloat16, np.uint16, onnx.TensorProto.BFLOAT16),
    "float8e4m3fn": (ml_dtypes.float8_e4m3fn, np.uint8, onnx.TensorProto.FLOAT8E4M3FN),
    "float8e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, np.uint8, onnx.TensorProto.FLOAT8E4M3FNUZ),
    "float8e5m2": (ml_dtypes.float8_e5m2, np.uint8, onnx.TensorProto.FLOAT8E5M2),
    "float8e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, np.uint8, onnx.TensorProto.FLOAT8E5M2FNUZ),
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
    optimise: bool = True,
    threads: int | None = None,
    provider: str = "cpu",
    lean: bool = False,
) -> "Session":
    """Open `model` for running.

    Args:
        model: a model in memory, which is written to a private folder, or the path of a file.
        optimise: let the runtime fuse and fold; False runs the graph node by node as it stands.
        threads: threads of one operator; None leaves it to the runtime.
        provider: `cpu`, `cuda`, or the name of any other execution provider.
        lean: spend time to save memory (no arena, no packed copies of weights, shapes read at once).

    Raises:
        ModelError: the runtime refuses the model; its reason is in the message.
        RuntimeMissingError: ONNX Runtime, or the asked execution provider, is not installed.
        UsageError: no such execution provider exists.
    """
    wanted = _provider_name(provider)
    options = _options(optimise, threads, lean)
    if isinstance(model, ir.Model):
        return _open_in_memory(model, options, wanted, external=lean)
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    return Session(_create(path, options, wanted), None)


def _open_in_memory(model: ir.Model, options: Any, provider: str, *, external: bool) -> "Session":
    """Write `model` to a folder of its own and open it there."""
    for link in (True, False):
        folder = storage.private_folder()
        try:
            path = storage.write_model(model, folder, external=external, link=link)
            return Session(_create(path, options, provider), folder)
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

    def __init__(self, inner: Any, folder: Path | None) -> None:
        """Take over an open session of the runtime and the folder, if any, that was made for it."""
        self._inner = inner
        self._finalizer = weakref.finalize(self, storage.remove_folder, folder) if folder else None
        self.inputs: tuple[Port, ...] = tuple(_port(item) for item in inner.get_inputs())
        self.outputs: tuple[Port, ...] = tuple(_port(item) for item in inner.get_outputs())
        self._carries = any(port.dtype in _CARRIED for port in (*self.inputs, *self.outputs))

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
        options.log_severity_level = _FATAL_ONLY
        try:
            if self._carries:
                given = {name: _to_ort(array) for name, array in feeds.items()}
                found = [_from_ort(item) for item in inner.run_with_ort_values(names, given, options)]
            else:
                found = inner.run(names, dict(feeds), options)
        except Exception as error:  # the runtime has no common base class for its errors
            raise ModelError(f"the model did not run in ONNX Runtime: {reason(error)}") from error
        if outputs is not None and not outputs:
            return {}
        return {
            key: array for name, item in zip(names, found, strict=True) for key, array in _flat(name, item)
        }

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


def _options(optimise: bool, threads: int | None, lean: bool) -> Any:
    """Session options that print nothing and let other sessions have the processor between runs."""
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if lean:
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _provider_name(provider: str) -> str:
    """The runtime's name of `provider`, which must be installed."""
    ort = onnxruntime()
    key = provider.lower().removesuffix("executionprovider")
    known = {name.lower().removesuffix("executionprovider"): name for name in ort.get_all_providers()}
    if key not in known:
        raise UsageError(f"unknown execution provider {provider!r}: choose one of {', '.join(sorted(known))}")
    if known[key] in ort.get_available_providers():
        return str(known[key])
    advice = ': pip install "graphprune[cuda]" in place of "graphprune[cpu]"' if key == "cuda" else ""
    raise RuntimeMissingError(f"the installed ONNX Runtime has no {known[key]}{advice}")


def _create(path: Path, options: Any, provider: str) -> Any:
    """Open `path` with `provider` first and the CPU for what it lacks."""
    ort = onnxruntime()
    if provider == "CUDAExecutionProvider" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")
    try:
        providers = list(dict.fromkeys([provider, "CPUExecutionProvider"]))
        inner = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime has no common base class for its errors
        where = "the model" if storage.is_private(path) else path
        raise ModelError(f"ONNX Runtime refuses {where}: {reason(error)}") from error
    if provider not in inner.get_providers():
        # Without its libraries the runtime falls back to the CPU with no more than a log line.
        raise RuntimeMissingError(
            f"{provider} could not start, so the model would run on the CPU: check its driver and libraries"
        )
    return inner


def _port(item: Any) -> Port:
    """A runtime's node argument as a `Port`."""
    dtype = str(item.type)
    if dtype.startswith("tensor("):
        dtype = dtype[len("tensor(") : -1]
        dtype = _DTYPES.get(dtype, dtype)
    return Port(str(item.name), dtype, tuple(item.shape or ()))


def _to_ort(array: Array) -> Any:
    """`array` as a value of the runtime, also of types that it does not take from numpy."""
    value = onnxruntime().OrtValue
    for dtype, carrier, code in _CARRIED.values():
        if array.dtype == dtype:
            plain = np.ascontiguousarray(array).view(carrier)
            return value.ortvalue_from_numpy_with_onnx_type(plain, code)
    return value.ortvalue_from_numpy(np.ascontiguousarray(array))


def _from_ort(value: Any) -> Any:
    """A value of the runtime as an array (copied), list or None."""
    if not value.has_value():
        return None
    element = str(value.data_type()).removeprefix("tensor(").removesuffix(")")
    if element not in _CARRIED:
        return value.numpy()
    dtype = np.dtype(_CARRIED[element][0])
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    data = ctypes.string_at(value.data_ptr(), count * dtype.itemsize)
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _flat(name: str, item: Any) -> Iterator[tuple[str, Array]]:
    """The arrays in one output, each with a name."""
    if item is None:
        return
    if isinstance(item, (list, dict)):
        entries = item.items() if isinstance(item, dict) else enumerate(item)
        for key, entry in entries:
            yield from _flat(f"{name}[{key}]", entry)
        return
    yield name, np.asarray(item)
