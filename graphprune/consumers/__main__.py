"""The process of one trial: `python -m graphprune.consumers MODULE FUNCTION MODEL FOLDER`.

FOLDER holds in-0.npz, in-1.npz, …; out-0.npz, … and reason.txt, if there is one, are written into it.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import numpy as np

from graphprune.consumers.tools import Arrays


def main() -> None:
    """Run one trial."""
    module, function, model, folder = *sys.argv[1:3], Path(sys.argv[3]), Path(sys.argv[4])
    warnings.simplefilter("ignore")
    try:
        run = getattr(importlib.import_module(module), function)
        for number, outputs in enumerate(run(model, _batches(folder), folder)):
            np.savez(folder / f"out-{number}.npz", **outputs)
    except Exception as error:  # whatever the program raises is its answer
        (folder / "reason.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


def _batches(folder: Path) -> list[Arrays]:
    found: list[Arrays] = []
    while (file := folder / f"in-{len(found)}.npz").exists():
        with np.load(file) as data:
            found.append(dict(data))
    return found


if __name__ == "__main__":
    main()
