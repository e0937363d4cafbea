"""Files that appear together when all are complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


class Staging:
    """Collects new files under temporary names beside their targets; `commit` moves them into place.

    Leaving the `with` block without a commit, by whatever exception, removes everything. A target that is a
    symbolic link is replaced itself; the file it points to stays as it is.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path]] = []
        self._open: list[BinaryIO] = []

    def __len__(self) -> int:
        return len(self._staged)

    def open(self, target: Path) -> BinaryIO:
        """Returns a new file that takes the place of `target` at the commit."""
        temporary = _beside(target)
        file = temporary.open("xb")  # created with the permissions that any new file would get
        self._staged.append((temporary, target))
        self._open.append(file)
        return file

    def commit(self) -> None:
        """Moves the files into place in the order they were opened, and all back if one cannot be moved."""
        self._flush()
        with contextlib.ExitStack() as cleanup, contextlib.ExitStack() as undo:  # left in reverse order
            for temporary, target in self._staged:
                if target.exists():
                    with contextlib.suppress(OSError):
                        shutil.copymode(target, temporary)
                _remember(target, undo, cleanup)
                os.replace(temporary, target)
            undo.pop_all()  # all is in place: forget how to undo it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open:
            with contextlib.suppress(OSError):  # a full disk is reported once, by the write that failed
                file.close()
        for temporary, _ in self._staged:
            temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        for file in self._open:
            file.flush()
            os.fsync(file.fileno())
            file.close()


def _remember(target: Path, undo: contextlib.ExitStack, cleanup: contextlib.ExitStack) -> None:
    """Arranges that `target` can be brought back to what it is now."""
    if not os.path.lexists(target):
        undo.callback(target.unlink, missing_ok=True)
        return
    backup = _beside(target)
    try:
        os.link(target, backup, follow_symlinks=False)
    except OSError:
        return  # a file system without links: a failed second move then leaves the first one done
    cleanup.callback(backup.unlink, missing_ok=True)
    undo.callback(os.replace, backup, target)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
