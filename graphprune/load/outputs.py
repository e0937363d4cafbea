"""Where a result may be written; asked before long work and again before writing."""

from __future__ import annotations

import os
from pathlib import Path

from graphprune.errors import OutputError
from graphprune.load.source import Source
from graphprune.load.tensors import external_tensors


def data_path(path: Path) -> Path:
    """Returns where the external data of a model written to `path` goes: `net.onnx.data` for `net.onnx`."""
    return path.with_name(path.name + ".data")


def check_output(path: str | os.PathLike[str], source: Source | None = None, force: bool = False) -> None:
    """Raises OutputError if a model cannot be written to `path`, or would replace a file of its own source.

    Args:
        path: Where the model shall go; its external data may go to `<path>.data`.
        source: The model that the result is made from.
        force: Whether the files of the source may be replaced.
    """
    target = Path(path)
    if not target.name:
        raise OutputError(
            f"the output {os.fspath(path)!r} is no name of a file; give one, such as small.onnx."
        )
    _check_folder(target.parent)
    for file in (target, data_path(target)):
        _check_target(file)
    if source is not None and not force:
        _check_not_source(target, source)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(f"{folder}: there is no such folder; create it or choose another.")
    if not folder.is_dir():
        raise OutputError(f"{folder}: this is a file, so nothing can be written inside it; choose a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: this folder cannot be written to; change its permissions or choose another."
        )


def _check_target(file: Path) -> None:
    if file.is_dir():
        raise OutputError(f"{file}: this is a folder; give the name of a file in it.")
    if file.exists() and not file.is_file():
        raise OutputError(f"{file}: this is a device or a pipe, not a regular file; give the name of a file.")


def _check_not_source(target: Path, source: Source) -> None:
    own = [source.path] if source.path is not None else []
    own += sorted({Path(tensor.path) for tensor in external_tensors(source.model)})
    for file in (target, data_path(target)):
        for given in own:
            if _same_file(file, given):
                raise OutputError(
                    f"{file}: this would replace '{given}', which the model was read from; choose another "
                    "name, or use force to replace it."
                )


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)  # sees through symbolic and hard links
    except OSError:
        return first.absolute() == second.absolute()
