"""save(): a model to a file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx_ir as ir
from google.protobuf.message import EncodeError

from graphprune.errors import OutputError
from graphprune.load.copying import copy_model
from graphprune.load.data_file import DataFile
from graphprune.load.legacy import lower_constants
from graphprune.load.outputs import check_output, data_path
from graphprune.load.source import Source
from graphprune.load.staging import Staging
from graphprune.load.tensors import external_tensors, inlined, replace_tensors, weight_bytes

INLINE_LIMIT_BYTES = 2**31 - 2**26
"""A protobuf message ends at 2 GB; the graph itself needs a part of that."""


def save(
    model: ir.Model,
    path: str | os.PathLike[str],
    *,
    source: Source | None = None,
    force: bool = False,
    beside: Callable[[int, Staging], None] = lambda size, files: None,
) -> int:
    """Writes `model` to `path` and returns the bytes written, external data included.

    The data goes to one file `<path>.data`, one tensor at a time, if the model or its source had external
    data or if it passes 2 GB; else all goes into one file. Both files are complete before either gets its
    name. `model` is unchanged, but if the file that its tensors are mapped from is replaced (only with
    `force`), these tensors become invalid: load the result instead.

    `beside` is called with the bytes when the model is complete and has no name yet. It may add files, which
    appear together with the model; what it raises leaves nothing behind.

    Raises:
        OutputError: `path` cannot be written, or is a file of `source` and `force` is not set.
    """
    check_output(path, source, force)
    target = Path(path)
    ours = copy_model(model)
    lower_constants(ours)
    with Staging() as files:
        with _told_where(target):
            size = _write(ours, target, files, _wants_external(ours, source))
            replaced = _tensors_in(data_path(target), model, source) if len(files) > 1 else ()
        beside(size, files)
        with _told_where(target):
            files.commit()
    for tensor in replaced:
        tensor.invalidate()  # its bytes are gone; an error is better than other bytes
    return size


@contextmanager
def _told_where(target: Path) -> Iterator[None]:
    """Turns what goes wrong while writing into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{target}: writing failed ({error.strerror or error}); nothing was written."
        ) from error
    except (EncodeError, ValueError) as error:
        raise OutputError(f"{target}: the model cannot be stored ({error}); nothing was written.") from error


def _wants_external(model: ir.Model, source: Source | None) -> bool:
    if source is not None and source.external:
        return True
    return bool(external_tensors(model)) or weight_bytes(model) > INLINE_LIMIT_BYTES


def _write(model: ir.Model, target: Path, files: Staging, external: bool) -> int:
    data = DataFile(files, data_path(target))
    if external:
        main = {id(value.const_value) for value in model.graph.initializers.values()}
        replace_tensors(model, lambda tensor, name: data.take(tensor, name) if id(tensor) in main else tensor)
        # In bodies and attributes few runtimes expect external data: leave out only what was outside before.
        replace_tensors(
            model,
            lambda tensor, name: data.take(tensor, name) if isinstance(tensor, ir.ExternalTensor) else tensor,
        )
    replace_tensors(model, lambda tensor, name: tensor if data.made(tensor) else inlined(tensor, name))
    content = ir.to_proto(model).SerializeToString()
    files.open(target).write(content)
    return data.size_bytes + len(content)


def _tensors_in(path: Path, model: ir.Model, source: Source | None) -> tuple[ir.ExternalTensor, ...]:
    """Returns the tensors of the caller whose data is in the file at `path`."""
    if not path.exists():
        return ()
    tensors = external_tensors(model) + (external_tensors(source.model) if source is not None else ())
    return tuple(tensor for tensor in tensors if os.path.exists(tensor.path) and path.samefile(tensor.path))
