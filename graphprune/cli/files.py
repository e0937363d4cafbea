"""The files of a command: nothing that is written may take the place of something else that it names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from graphprune.errors import OutputError

Files = Mapping[str, str | Path | None]


def check_files(
    written: Files,
    read: Mapping[str, Any] | None = None,
    models: Sequence[Path] = (),
    result: Path | None = None,
) -> None:
    """Find out before the work whether files can be written, and whether one would replace another.

    Args:
        written: by option; `-` is standard output, None is not asked for.
        read: files, folders, or functions of the user's, by what they are.
        models: that are read; files of external data are theirs too.
        result: where a model is written. Whether it may replace `models` is not asked here: --force decides.

    Raises:
        OutputError: a file cannot be written, or stands for two things.
    """
    files = [
        (option, Path(file)) for option, file in written.items() if file is not None and str(file) != "-"
    ]
    for _, file in files:
        _check_writable(file)
    files = [(option, file) for option, file in files if not _is_device(file)]
    targets = [] if result is None else [("-o", result), ("the data of -o", Path(f"{result}.data"))]
    for (option, file), (other, second) in combinations([*targets, *files], 2):
        if same_file(file, second):
            raise OutputError(
                f"{second}: {option} and {other} would be the same file; give each its own name"
            )
    for option, file in files:
        _check_not_read(option, file, _models(models))
    for option, file in [*targets, *files]:
        _check_not_read(option, file, _read(read or {}))


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file, through links too, or would once it is there."""
    try:
        return first.samefile(second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)


def _check_writable(file: Path) -> None:
    folder = Path(os.path.realpath(file)).parent
    if file.is_dir():
        raise OutputError(f"cannot write {file}: it is a folder")
    if not folder.is_dir():
        raise OutputError(f"cannot write {file}: its folder does not exist")
    if not _is_device(file) and not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {file}: its folder cannot be written to")


def _is_device(file: Path) -> bool:
    """Whether this is a terminal, a pipe or the like, which holds nothing that could be lost."""
    return file.exists() and not file.is_file()


def _check_not_read(option: str, file: Path, read: Iterator[tuple[str, Path]]) -> None:
    if not file.exists():
        return  # what is not there is not read: no need to look for the files of models
    for what, other in read:
        if other.exists() and same_file(file, other):
            raise OutputError(
                f"{file}: {option} would replace {what} ({other}), which is read; give another name"
            )


def _models(models: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    from graphprune.load.own_files import files_of

    for model in models:
        for file in files_of(model):
            yield ("the model" if file == model else "data of the model"), file


def _read(read: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for what, given in read.items():
        for file in _files_in(given):
            yield what, file


def _files_in(given: Any) -> Iterator[Path]:
    """The files behind what a user names: a file, what is in a folder, or the source of a function."""
    if given is None or str(given).split(":")[0] == "noise":
        return
    path = Path(given)
    if path.is_dir():
        yield from path.iterdir()
        return
    yield path
    source = str(given).rpartition(":")[0]
    if source and not path.exists():
        module = Path(*source.split("."))
        yield from (Path(source), module.with_suffix(".py"), module / "__init__.py")
